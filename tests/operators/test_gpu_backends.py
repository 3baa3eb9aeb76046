"""Every backend that needs a GPU against the reference: outputs, gradients, states, packing, chunks, single tokens."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from operators.backends import BACKENDS
from operators.context import Documents, SequenceContext
from operators.initialization import generator_from, initialize_operator
from operators.registry import REGISTRY, build_operator
from search_spaces.specs import DeltaNetSpec, GatedDeltaNetSpec, HybridHeadSpec, Mamba1Spec, Mamba2Spec, OperatorSpec

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    # Other people's packages warn about their own matters.
    pytest.mark.filterwarnings("default"),
]

HIDDEN_SIZE = 256
BATCH = 2
DTYPE = torch.bfloat16
SPECS: dict[str, OperatorSpec] = {
    "deltanet": DeltaNetSpec(num_heads=2, head_dim=128),
    "deltanet, gated": DeltaNetSpec(
        num_heads=4, head_dim=64, conv_width=3, output_gate=True, allow_negative_eigenvalues=True
    ),
    "deltanet, widest": DeltaNetSpec(num_heads=1, head_dim=256),
    "gated deltanet": GatedDeltaNetSpec(num_heads=2, head_dim=64, num_value_heads=4, value_head_dim=128),
    "mamba2": Mamba2Spec(num_heads=8, head_dim=64, state_size=128),
    "mamba2, groups": Mamba2Spec(num_heads=4, head_dim=64, state_size=64, num_groups=2),
    "mamba2, whole norm": Mamba2Spec(num_heads=4, head_dim=64, state_size=64, num_groups=2, grouped_norm=False),
    "mamba1": Mamba1Spec(inner_size=256, state_size=16, dt_rank=16),
}
FLA_LAYERS: dict[str, dict[str, Any]] = {
    "gla": {"num_heads": 2},
    "kda": {"num_heads": 2, "head_dim": 64},
    "rwkv7": {"num_heads": 4, "head_dim": 64},
    "mamba3": {"num_heads": 8, "head_dim": 64},
    "gated_deltanet": {"num_heads": 2, "head_dim": 64, "options": {"expand_v": 1.0}},
}


def _backends() -> Iterator[Any]:
    for name, spec in SPECS.items():
        layer_class = REGISTRY.layer_class(type(spec))
        for phase, offered in (("sequence", layer_class.sequence_backends), ("step", layer_class.step_backends)):
            for backend in offered:
                if BACKENDS[backend].devices is not None:
                    yield pytest.param(name, backend, phase, id=f"{name}, {backend}, {phase}")


def _require(backend: str) -> None:
    missing = BACKENDS[backend].missing_package()
    if missing is not None:
        pytest.skip(missing)


def _pair(name: str, backend: str) -> tuple[Any, Any]:
    """Return an operator in bfloat16, and the reference with the same rounded weights in float32."""
    _require(backend)
    with torch.device("cuda"):
        fused, reference = (
            build_operator(SPECS[name], hidden_size=HIDDEN_SIZE, norm_eps=1e-6, backend=requested).to(DTYPE)
            for requested in (backend, "reference")
        )
    return fused, reference.float()


def _input(tokens: int) -> Tensor:
    x_BTD = torch.randn(BATCH, tokens, HIDDEN_SIZE, generator=torch.Generator().manual_seed(1))
    return x_BTD.to("cuda", DTYPE)


def _documents(tokens: int) -> Documents:
    index_T = torch.arange(tokens, device="cuda")
    return Documents.from_ids(torch.stack((index_T // 37, index_T // 64)))


def _gradients(operator: Any, x_BTD: Tensor, context: SequenceContext) -> dict[str, Tensor]:
    x = x_BTD.detach().clone().requires_grad_()
    y = operator(x, context=context)
    weights = torch.linspace(-1, 2, y.numel(), device="cuda").reshape_as(y).sin()
    grads = torch.autograd.grad((y.float() * weights).sum(), (x, *operator.parameters()))
    return dict(zip(("output", "x", *dict(operator.named_parameters())), (y.detach(), *grads), strict=True))


@pytest.mark.parametrize(("name", "backend", "phase"), [case for case in _backends() if case.values[2] == "sequence"])
@pytest.mark.parametrize(
    ("tokens", "num_meta", "is_packed"),
    [(1, 0, False), (63, 0, False), (65, 0, False), (1000, 0, False), (200, 0, True), (200, 5, True)],
)
def test_outputs_and_every_gradient_are_those_of_the_reference(
    name: str, backend: str, phase: str, tokens: int, num_meta: int, is_packed: bool, assert_close: Callable[..., None]
) -> None:
    fused, reference = _pair(name, backend)
    x_BTD = _input(num_meta + tokens)
    assert fused.backend_at(phase, x_BTD) == backend
    documents = _documents(tokens) if is_packed else None
    context = SequenceContext(start=0, num_meta_tokens=num_meta, documents=documents)
    mine, theirs = _gradients(fused, x_BTD, context), _gradients(reference, x_BTD.float(), context)
    for key, expected in theirs.items():
        # The gradients of one token's decays are sums of a handful of rounded numbers.
        if tokens > 1 or key in ("output", "x"):
            assert_close(mine[key], expected, dtype=DTYPE, what=key)


@pytest.mark.parametrize(("name", "backend", "phase"), [case for case in _backends() if case.values[2] == "sequence"])
def test_a_sequence_in_chunks_is_the_sequence(
    name: str, backend: str, phase: str, assert_close: Callable[..., None]
) -> None:
    fused, reference = _pair(name, backend)
    x_BTD, context = _input(130), SequenceContext(start=0)
    assert fused.backend_at(phase, x_BTD) == backend
    state = fused.new_state(batch_size=BATCH, max_tokens=130, device="cuda", dtype=DTYPE)
    expected_state = reference.new_state(batch_size=BATCH, max_tokens=130, device="cuda", dtype=torch.float32)
    with torch.no_grad():
        y_BTD = torch.cat([fused(x, state=state, context=context) for x in x_BTD.split((1, 64, 2, 63), dim=1)], dim=1)
        expected_BTD = reference(x_BTD.float(), state=expected_state, context=context)
    assert_close(y_BTD, expected_BTD, dtype=DTYPE)
    for mine, theirs in zip(state.tensors(), expected_state.tensors(), strict=True):
        assert_close(mine, theirs, dtype=DTYPE, what="state")


@pytest.mark.parametrize(("name", "backend", "phase"), [case for case in _backends() if case.values[2] == "step"])
def test_single_tokens_are_those_of_the_reference(
    name: str, backend: str, phase: str, assert_close: Callable[..., None]
) -> None:
    fused, reference = _pair(name, backend)
    x_BTD = _input(20)
    assert fused.backend_at(phase, x_BTD) == backend
    state = fused.new_state(batch_size=BATCH, max_tokens=20, device="cuda", dtype=DTYPE)
    expected_state = reference.new_state(batch_size=BATCH, max_tokens=20, device="cuda", dtype=torch.float32)
    for x_BD in x_BTD.unbind(1):
        assert_close(fused.step(x_BD, state), reference.step(x_BD.float(), expected_state), dtype=DTYPE)
    for mine, theirs in zip(state.tensors(), expected_state.tensors(), strict=True):
        assert_close(mine, theirs, dtype=DTYPE, what="state")


def test_a_hybrid_head_runs_its_branches_in_fused_kernels(assert_close: Callable[..., None]) -> None:
    from search_spaces.specs import AttentionSpec

    attention = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=64)
    spec = HybridHeadSpec(attention=attention, ssm=Mamba2Spec(num_heads=4, head_dim=64, state_size=64))
    with torch.device("cuda"):
        fused, reference = (
            build_operator(spec, hidden_size=HIDDEN_SIZE, norm_eps=1e-6, backend=backend).to(DTYPE)
            for backend in ("auto", "reference")
        )
    x_BTD, context = _input(65), SequenceContext(start=0)
    assert_close(fused(x_BTD, context=context), reference.float()(x_BTD.float(), context=context), dtype=DTYPE)


@pytest.fixture(params=FLA_LAYERS)
def bridged(request: pytest.FixtureRequest) -> Any:
    _require("fla")
    if request.param == "mamba3":
        _require("mamba_ssm")
    from operators.fla.layer import FlaLayer
    from search_spaces.specs import FlaSpec

    spec = FlaSpec(layer=request.param, **FLA_LAYERS[request.param])
    with torch.device("meta"):
        operator = FlaLayer(spec, hidden_size=HIDDEN_SIZE, norm_eps=1e-6, backend="auto")
    operator.to_empty(device="cuda")
    initialize_operator(operator, generator=generator_from(0), depth=4)
    return operator.to(DTYPE).eval()


def test_a_layer_of_fla_by_steps_and_in_chunks_is_the_sequence_at_fixed_addresses(
    bridged: Any, assert_close: Callable[..., None]
) -> None:
    x_BTD, context = _input(70), SequenceContext(start=0)
    with torch.no_grad():
        expected_BTD = bridged(x_BTD, context=context)
        for widths in ((1,) * 70, (3, 65, 2)):
            state = bridged.new_state(batch_size=BATCH, max_tokens=70, device="cuda", dtype=DTYPE)
            addresses = [tensor.data_ptr() for tensor in state.tensors()]
            chunks = [
                bridged.step(x[:, 0], state)[:, None] if len(widths) == 70 else bridged(x, state=state, context=context)
                for x in x_BTD.split(widths, dim=1)
            ]
            assert_close(torch.cat(chunks, dim=1), expected_BTD, dtype=DTYPE)
            assert [tensor.data_ptr() for tensor in state.tensors()] == addresses


def test_a_layer_of_fla_computes_packed_documents_as_if_alone(bridged: Any, assert_close: Callable[..., None]) -> None:
    num_meta = 0 if bridged.spec.layer == "mamba3" else 4
    x_BTD = _input(100 + num_meta)
    documents = _documents(100)
    context = SequenceContext(start=0, num_meta_tokens=num_meta, documents=documents)
    with torch.no_grad():
        packed_BTD = bridged(x_BTD, context=context)
        for row in range(BATCH):
            for document in documents.segment[row].unique():
                where_T = (documents.segment[row] == document).nonzero()[:, 0] + num_meta
                chosen_T = torch.cat((torch.arange(num_meta, device="cuda"), where_T))
                alone_1TD = bridged(x_BTD[row : row + 1, chosen_T], context=SequenceContext(start=0))
                assert_close(packed_BTD[row, chosen_T], alone_1TD[0], dtype=DTYPE)


def test_a_layer_of_fla_is_causal_and_every_parameter_learns(bridged: Any) -> None:
    bridged.train()
    x_BTD = _input(66).requires_grad_()
    y_BTD = bridged(x_BTD, context=SequenceContext(start=0))
    (grad_BTD,) = torch.autograd.grad(y_BTD[:, :33].float().sum(), x_BTD, retain_graph=True)
    assert not grad_BTD[:, 33:].any()
    y_BTD.float().square().sum().backward()
    assert all(parameter.grad is not None for parameter in (*bridged.reads_residual(), *bridged.writes_residual()))
