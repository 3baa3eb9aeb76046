"""Registry, norms, rotation, convolution, initial weights, contexts."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from operators.attention.state import cache_of
from operators.base import EmptyState
from operators.context import Documents, KeyValues, SequenceContext
from operators.convolution import ShortConvolution
from operators.ffn.layer import FFN
from operators.initialization import draw_step_bias, draw_writing, generator_from
from operators.norms import GatedRMSNorm, RMSNorm
from operators.registry import REGISTRY, Registry, build_operator
from operators.rotary import frequencies, rotate, rotations
from search_spaces.specs import SPEC_CLASSES, AttentionSpec, DeltaNetSpec, FFNSpec

CloseCheck = Callable[..., None]


def test_every_spec_class_has_a_layer() -> None:
    assert set(REGISTRY.spec_classes()) == set(SPEC_CLASSES.values())


def test_registering_twice_names_what_is_registered() -> None:
    registry = Registry({FFNSpec: FFN})
    with pytest.raises(ValueError, match=r"FFNSpec is registered already, with FFN.*Registered: FFNSpec"):
        registry.register(FFNSpec)


def test_an_unknown_spec_lists_what_exists() -> None:
    with pytest.raises(ValueError, match=r"No layer computes DeltaNetSpec. Registered: FFNSpec"):
        Registry({FFNSpec: FFN}).layer_class(DeltaNetSpec)


def test_a_layer_can_be_registered_by_decoration() -> None:
    registry = Registry({})
    assert registry.register(FFNSpec)(FFN) is FFN
    assert registry.layer_class(FFNSpec) is FFN


def test_rms_norm_divides_by_the_root_mean_square() -> None:
    norm = RMSNorm(4, eps=0.0)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    x = torch.tensor([[1.0, -1.0, 7.0, 7.0]])
    assert torch.allclose(norm(x), x / 5.0 * norm.weight)


@pytest.mark.parametrize("num_groups", [1, 2])
def test_a_gated_norm_gates_before_it_normalises_each_group(num_groups: int) -> None:
    norm = GatedRMSNorm(6, num_groups=num_groups, eps=0.0)
    x, gate = torch.randn(3, 6, generator=generator_from(0)), torch.randn(3, 6, generator=generator_from(1))
    y = norm(x, gate).unflatten(-1, (num_groups, -1))
    assert torch.allclose(y.square().mean(-1), torch.ones(3, num_groups), atol=1e-5)
    direction = (x * F.silu(gate)).unflatten(-1, (num_groups, -1))
    assert torch.allclose(F.cosine_similarity(y, direction, dim=-1), torch.ones(3, num_groups), atol=1e-5)


def test_rotated_scores_depend_on_distance_only(assert_close: CloseCheck) -> None:
    spec = AttentionSpec(num_heads=1, num_kv_heads=1, head_dim=8, rope_theta=100.0, rotary_fraction=0.5)
    q, k = torch.randn(2, 1, 6, 1, 8, generator=generator_from(0))
    q, k = q[:, :1].expand(1, 6, 1, 8), k[:, :1].expand(1, 6, 1, 8)

    def scores(offset: int) -> Tensor:
        cosine, sine = rotations(frequencies(spec, device=torch.device("cpu")), torch.arange(6) + offset)
        rotated_q, rotated_k = (rotate(x, cosine, sine)[0, :, 0] for x in (q, k))
        return rotated_q @ rotated_k.T

    assert_close(scores(0), scores(1000), dtype=torch.float32)
    assert_close(scores(0).diagonal(1), scores(0).diagonal(1)[:1].expand(5))
    assert not torch.allclose(scores(0)[0], scores(0)[0, :1].expand(6))


def test_rotation_turns_a_channel_with_its_partner_and_leaves_the_rest() -> None:
    spec = AttentionSpec(num_heads=1, num_kv_heads=1, head_dim=6, rope_theta=100.0, rotary_fraction=2 / 3)
    x = torch.arange(1.0, 7.0).reshape(1, 1, 1, 6)
    frequency_R = frequencies(spec, device=torch.device("cpu"))
    y = rotate(x, *rotations(frequency_R, torch.tensor([3]))).flatten()
    for pair, frequency in ((0, 1.0), (1, 0.1)):
        turned = torch.complex(x.flatten()[pair], x.flatten()[pair + 2]) * torch.exp(torch.tensor(3j * frequency))
        assert torch.allclose(torch.complex(y[pair], y[pair + 2]), turned)
    assert torch.equal(y[4:], torch.tensor([5.0, 6.0]))


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_the_convolution_is_torchs_grouped_one_with_every_gradient(
    width: int, bias: bool, assert_close: CloseCheck
) -> None:
    conv = ShortConvolution(5, width=width, bias=bias)
    conv.initialize(generator=generator_from(1))
    x = torch.randn(2, 9, 5, generator=generator_from(0)).requires_grad_()
    leaves = [x, *conv.parameters()]
    y, history = conv(x)
    expected = F.silu(F.conv1d(F.pad(x.mT, (width - 1, 0)), conv.weight[:, None], conv.bias, groups=5).mT)
    assert_close(y, expected)
    assert torch.equal(history, x[:, 9 - (width - 1) :])
    for actual, truth in zip(
        torch.autograd.grad(y.sin().sum(), leaves), torch.autograd.grad(expected.sin().sum(), leaves), strict=True
    ):
        assert_close(actual, truth)


@pytest.mark.parametrize("part", ["norm", "gated norm", "convolution"])
def test_gradients_of_a_part_refuse_to_be_differentiated(part: str) -> None:
    x = torch.randn(2, 9, 6, generator=generator_from(0)).requires_grad_()
    conv = ShortConvolution(6, width=3, bias=True)
    conv.initialize(generator=generator_from(1))
    runs: dict[str, tuple[nn.Module, Callable[[], Tensor]]] = {
        "norm": (norm := RMSNorm(6, eps=1e-6), lambda: norm(x)),
        "gated norm": (gated := GatedRMSNorm(6, num_groups=2, eps=1e-6), lambda: gated(x, x.detach())),
        "convolution": (conv, lambda: conv(x)[0]),
    }
    module, run = runs[part]
    leaves = [x, *module.parameters()]
    # Also where another way leads to the input, which alone would give a number.
    for leaf in leaves:
        with pytest.raises(RuntimeError, match="first derivatives only"):
            torch.autograd.grad(run().square().sum() + leaf.pow(3).sum(), leaf, create_graph=True)


def test_step_biases_give_step_sizes_between_their_bounds() -> None:
    bias = torch.empty(4000)
    draw_step_bias(bias, generator=generator_from(3))
    steps = F.softplus(bias)
    assert steps.min() >= 0.999e-3
    assert steps.max() <= 0.1001
    assert abs(steps.log().mean().exp().item() - 1e-2) < 1e-3


@pytest.mark.parametrize("depth", [1, 16])
def test_writing_projections_shrink_with_depth(depth: int) -> None:
    linear = torch.nn.Linear(64, 500, bias=False)
    draw_writing(linear, generator=generator_from(0), depth=depth)
    assert linear.weight.std().item() == pytest.approx((64 * depth) ** -0.5, rel=0.02)


def test_documents_are_read_off_changes_of_the_id() -> None:
    documents = Documents.from_ids(torch.tensor([[5, 5, 2, 5, 5, 5], [0, 1, 1, 1, 1, 2]]))
    assert documents.segment.tolist() == [[0, 0, 1, 2, 2, 2], [0, 1, 1, 1, 1, 2]]
    assert documents.offset.tolist() == [[0, 1, 0, 0, 1, 2], [0, 0, 1, 2, 3, 0]]


def test_documents_and_a_state_together_are_refused() -> None:
    documents = Documents.from_ids(torch.zeros(1, 4, dtype=torch.long))
    for spec in (AttentionSpec(num_heads=2, num_kv_heads=1, head_dim=4), DeltaNetSpec(num_heads=2, head_dim=4)):
        operator = build_operator(spec, hidden_size=8, norm_eps=1e-6)
        state = operator.new_state(batch_size=1, max_tokens=4, device="cpu", dtype=torch.float32)
        with pytest.raises(ValueError, match="Packed documents need a call without a state"):
            operator(torch.zeros(1, 4, 8), state=state, context=SequenceContext(documents=documents))


def test_keys_and_values_nobody_made_are_asked_for_by_index() -> None:
    context = SequenceContext(kv_sources=frozenset({3}))
    keys = torch.zeros(1)
    context.at(2).publish(KeyValues(keys, keys))
    with pytest.raises(ValueError, match="needs the keys and values of operator 2; this call holds those of none"):
        context.shared(2)
    context.at(3).publish(KeyValues(keys, keys))
    assert context.at(5).shared(3).keys is keys


def test_only_a_state_with_a_cache_can_be_shared() -> None:
    with pytest.raises(ValueError, match="only with an attention or a hybrid head; got a EmptyState"):
        cache_of(EmptyState())
