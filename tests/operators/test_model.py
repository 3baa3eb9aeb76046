"""The whole model: meta tokens, chunks and steps, packing, shared keys and values, seeds."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from operators.model import HybridLM
from search_spaces.architecture import Architecture
from search_spaces.dimensions import Dimensions, architecture_from_pattern
from search_spaces.specs import AttentionSpec, FFNSpec, HybridHeadSpec, Mamba1Spec, Mamba2Spec

CloseCheck = Callable[..., None]
VOCABULARY = 50
SMALL = Dimensions(head_dim=16, mamba_head_dim=16, mamba_state_size=8, query_heads_per_kv_head=2, rope_theta=1e4)


def small(pattern: str, *, num_meta_tokens: int = 0, tie_embeddings: bool = True) -> Architecture:
    return architecture_from_pattern(
        pattern,
        hidden_size=32,
        vocab_size=VOCABULARY,
        num_meta_tokens=num_meta_tokens,
        tie_embeddings=tie_embeddings,
        dimensions=replace(SMALL, window=9) if "w" in pattern else SMALL,
    )


def random_tokens(tokens: int, *, batch: int = 2, seed: int = 0) -> Tensor:
    return torch.randint(0, VOCABULARY, (batch, tokens), generator=torch.Generator().manual_seed(seed))


def sharing_architecture(*, windows: tuple[int | None, int | None, int | None]) -> Architecture:
    """Return two operators that share the keys and values of the first."""

    def hybrid(window: int | None, source: int | None) -> HybridHeadSpec:
        return HybridHeadSpec(
            attention=AttentionSpec(
                num_heads=4, num_kv_heads=2, head_dim=8, window=window, rope_theta=1e4, shares_kv_with=source
            ),
            ssm=Mamba1Spec(inner_size=32, state_size=4, dt_rank=4),
        )

    reader = AttentionSpec(
        num_heads=2, num_kv_heads=2, head_dim=8, window=windows[2], rope_theta=1e4, shares_kv_with=0, qk_norm=True
    )
    ffn = FFNSpec(intermediate_size=40)
    return Architecture(
        hidden_size=32,
        operators=(hybrid(windows[0], None), ffn, hybrid(windows[1], 0), reader),
        vocab_size=VOCABULARY,
        num_meta_tokens=3,
    )


def continued_logits(model: HybridLM, tokens_BT: Tensor, *, prefills: tuple[int, ...]) -> dict[int, Tensor]:
    """Return logits by position from prefill chunks followed by steps."""
    state = model.new_state(batch_size=2, max_tokens=tokens_BT.shape[1], device="cpu", dtype=torch.float32)
    found, position = {}, 0
    for size in prefills:
        logits = model.prefill(tokens_BT[:, position : position + size], state)
        position += size
        found[position - 1] = logits
    for index in range(position, tokens_BT.shape[1]):
        found[index] = model.step(tokens_BT[:, index], state)
    return found


@pytest.mark.parametrize("num_meta_tokens", [0, 5])
@pytest.mark.parametrize("prefills", [(), (1,), (20, 7), (45,)])
def test_prefill_and_steps_give_the_logits_of_forward(
    assert_close: CloseCheck, num_meta_tokens: int, prefills: tuple[int, ...]
) -> None:
    model = HybridLM(small("d f m2 w f a m1 hh f", num_meta_tokens=num_meta_tokens), seed=1)
    tokens_BT = random_tokens(45)
    whole = model(tokens_BT)
    assert whole.shape == (2, 45, VOCABULARY)
    for position, logits in continued_logits(model, tokens_BT, prefills=prefills).items():
        assert_close(logits, whole[:, position], what=f"position {position}")


@pytest.mark.parametrize("windows", [(7, 7, 7), (4, 11, None), (None, 5, 6), (11, 4, 4)])
def test_shared_keys_and_values_agree_over_chunks_and_steps(
    assert_close: CloseCheck, windows: tuple[int | None, int | None, int | None]
) -> None:
    model = HybridLM(sharing_architecture(windows=windows), seed=1)
    slow = HybridLM(sharing_architecture(windows=windows), seed=1, backend="reference")
    tokens_BT = random_tokens(40)
    whole = model(tokens_BT)
    assert_close(whole, slow(tokens_BT))
    for position, logits in continued_logits(model, tokens_BT, prefills=(3, 21)).items():
        assert_close(logits, whole[:, position], what=f"position {position}")


def test_a_shared_cache_is_held_once() -> None:
    model = HybridLM(sharing_architecture(windows=(4, 11, None)), seed=1)
    state = model.new_state(batch_size=2, max_tokens=40, device="cpu", dtype=torch.float32)
    source, _, hybrid, reader = state.operators
    assert reader is getattr(source, "cache", None)
    assert getattr(hybrid, "cache", None) is reader


def test_a_gradient_flows_into_shared_keys_and_values() -> None:
    model = HybridLM(sharing_architecture(windows=(7, 7, 7)), seed=1)
    model(random_tokens(20)).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


@pytest.mark.parametrize("num_meta_tokens", [0, 5])
def test_packed_documents_equal_documents_alone(assert_close: CloseCheck, num_meta_tokens: int) -> None:
    model = HybridLM(small("d f m2 w f a m1 hh f", num_meta_tokens=num_meta_tokens), seed=1)
    tokens_BT = random_tokens(40)
    ids_BT = torch.zeros(2, 40, dtype=torch.long)
    ids_BT[0, 11:], ids_BT[0, 37:], ids_BT[1, 1:] = 1, 2, 3
    packed = model(tokens_BT, document_ids_BT=ids_BT)
    for row, cuts in ((0, (0, 11, 37, 40)), (1, (0, 1, 40))):
        for first, end in pairwise(cuts):
            assert_close(packed[row, first:end], model(tokens_BT[row : row + 1, first:end])[0])


@pytest.mark.parametrize("bad", [torch.zeros(2, 8), torch.zeros(8, dtype=torch.long), torch.zeros(1, 8).long()])
def test_document_ids_of_the_wrong_kind_are_refused(bad: Tensor) -> None:
    with pytest.raises(ValueError, match="document_ids_BT must be"):
        HybridLM(small("f"), seed=0)(random_tokens(8), document_ids_BT=bad)


def test_meta_tokens_change_every_operator_but_ffn() -> None:
    tokens_BT = random_tokens(12)
    for pattern, changes in (("f", False), ("a", True), ("w", True), ("d", True), ("m2", True), ("m1", True)):
        model = HybridLM(small(pattern, num_meta_tokens=4), seed=1)
        before = model(tokens_BT)
        with torch.no_grad():
            model.meta_tokens.mul_(-3)
        assert torch.equal(model(tokens_BT), before) is not changes, pattern


def test_a_window_keeps_meta_tokens_in_sight_and_forgets_the_rest() -> None:
    model = HybridLM(small("w", num_meta_tokens=2), seed=1)
    x_BTD = torch.randn(1, 42, 32, requires_grad=True)
    context = model._context(start=0, documents=None)
    model.residual_operators[0](x_BTD, context=context)[:, -1].square().sum().backward()
    assert x_BTD.grad is not None
    seen_T = x_BTD.grad.abs().sum((0, 2)) > 0
    assert seen_T.nonzero().flatten().tolist() == [0, 1, *range(42 - 9, 42)]


def test_a_reset_state_starts_over_behind_the_meta_tokens() -> None:
    model = HybridLM(small("d a m2 hh", num_meta_tokens=4), seed=1)
    tokens_BT = random_tokens(9)
    state = model.new_state(batch_size=2, max_tokens=9, device="cpu", dtype=torch.float32)
    addresses = [tensor.data_ptr() for tensor in state.tensors()]
    first = model.prefill(tokens_BT, state)
    model.reset_state(state)
    assert torch.equal(model.prefill(tokens_BT, state), first)
    assert [tensor.data_ptr() for tensor in state.tensors()] == addresses
    assert state.position.item() == 13


def test_a_step_of_the_whole_model_runs_without_asking_the_device() -> None:
    architecture = small("d f m2 w a m1 hh", num_meta_tokens=3)
    with torch.device("meta"):
        model = HybridLM(architecture, seed=0)
        state = model.new_state(batch_size=2, max_tokens=8, device="meta", dtype=torch.bfloat16)
        logits = model.step(torch.zeros(2, dtype=torch.long), state)
    assert logits.shape == (2, VOCABULARY)


def test_a_seed_names_the_weights() -> None:
    architecture = small("d f m2 a m1 hh", num_meta_tokens=2, tie_embeddings=False)
    random_before = torch.get_rng_state()
    one, same, other = (HybridLM(architecture, seed=seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), random_before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["embedding"], other["embedding"])


def test_the_head_is_the_embedding_only_where_it_is_tied() -> None:
    tied, untied = (HybridLM(small("f", tie_embeddings=ties), seed=0) for ties in (True, False))
    assert tied.head_weight is tied.embedding
    assert untied.head_weight is not untied.embedding
    untied(random_tokens(4)).sum().backward()
    assert untied.head_weight.grad is not None


@pytest.mark.parametrize("width", [32, 1024])
def test_a_new_model_is_near_the_uniform_distribution(width: int) -> None:
    architecture = architecture_from_pattern(
        "(d f m2 f a f)x2", hidden_size=width, vocab_size=VOCABULARY, dimensions=replace(SMALL, ffn_expand=1.0)
    )
    model = HybridLM(architecture, seed=0)
    tokens_BT = random_tokens(33, batch=1)
    with torch.no_grad():
        loss = F.cross_entropy(model(tokens_BT[:, :-1])[0], tokens_BT[0, 1:])
    uniform = torch.tensor(float(VOCABULARY)).log()
    assert uniform - 0.3 < loss < uniform + 1.5


def test_the_stream_does_not_grow_with_depth() -> None:
    scales = {}
    for repeats in (1, 8):
        model = HybridLM(small(f"(d f m2 f a f)x{repeats}"), seed=0)
        x_BTD = torch.randn(1, 40, 32, generator=torch.Generator().manual_seed(0))
        context = model._context(start=0, documents=None)
        with torch.no_grad():
            for index, layer in enumerate(model.residual_operators):
                x_BTD = layer(x_BTD, context=context.at(index))
        scales[repeats] = x_BTD.square().mean().sqrt().item()
    assert scales[8] < 2 * scales[1]


def test_every_operator_learns() -> None:
    architecture = small("d f m2 w m1 hh a f", num_meta_tokens=2)
    model = HybridLM(architecture, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    tokens_BT = random_tokens(5).repeat(1, 8)
    losses = []
    for _ in range(25):
        loss = F.cross_entropy(model(tokens_BT[:, :-1]).flatten(0, 1), tokens_BT[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_more_tokens_than_a_state_holds_are_refused() -> None:
    model = HybridLM(small("a", num_meta_tokens=2), seed=0)
    state = model.new_state(batch_size=2, max_tokens=4, device="cpu", dtype=torch.float32)
    with pytest.raises(ValueError, match="max_tokens=6 cannot hold 2 \\+ 5 tokens"):
        model.prefill(random_tokens(5), state)


@pytest.mark.parametrize("pattern", ["a f", "f", "m2 f"])
def test_another_batch_than_that_of_the_state_is_refused(pattern: str) -> None:
    model = HybridLM(small(pattern), seed=0)
    state = model.new_state(batch_size=2, max_tokens=4, device="cpu", dtype=torch.float32)
    for run, tokens in ((model.prefill, random_tokens(3, batch=1)), (model.step, random_tokens(1, batch=3)[:, 0])):
        with pytest.raises(ValueError, match=r"was made for 2 sequences; got [13]"):
            run(tokens, state)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_step_is_captured_in_a_cuda_graph(assert_close: CloseCheck) -> None:
    model = HybridLM(small("d f m2 w f a m1 hh f", num_meta_tokens=5), seed=1).cuda()
    tokens_BT = random_tokens(24).cuda()
    expected = model(tokens_BT)
    state = model.new_state(batch_size=2, max_tokens=24, device="cuda", dtype=torch.float32)
    token_B = tokens_BT[:, 0].clone()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            model.step(token_B, state)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = model.step(token_B, state)
    model.reset_state(state)
    for position in range(24):
        token_B.copy_(tokens_BT[:, position])
        graph.replay()
        assert_close(logits, expected[:, position], dtype=torch.bfloat16, what=f"position {position}")


def test_grouped_mamba_in_a_hybrid_head_keeps_its_gated_norm() -> None:
    spec = HybridHeadSpec(
        attention=AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=8),
        ssm=Mamba2Spec(num_heads=4, head_dim=8, state_size=4, num_groups=2),
    )
    model = HybridLM(Architecture(hidden_size=32, operators=(spec,), vocab_size=VOCABULARY), seed=0)
    norms = [name for name, _ in model.named_parameters() if "norm" in name and "layers" in name]
    assert sorted(norms) == [
        "layers.0.norm.weight",
        "layers.0.operator.attention_norm.weight",
        "layers.0.operator.mixer.norm.weight",
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_drawn_in_any_dtype_are_the_same_numbers(dtype: torch.dtype) -> None:
    architecture = small("d f m2 a m1")
    expected = HybridLM(architecture, seed=5).to(dtype).state_dict()
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        actual = HybridLM(architecture, seed=5).state_dict()
    finally:
        torch.set_default_dtype(before)
    for name, value in expected.items():
        # Logarithms of step sizes and decays are taken after rounding.
        exact = not name.endswith(("A_log", "dt_bias", "dt.bias"))
        assert torch.equal(actual[name], value) if exact else torch.allclose(actual[name], value, atol=0.05), name


def test_a_model_survives_copying_and_pickling() -> None:
    model = HybridLM(small("d f m2 w m1 hh", num_meta_tokens=2), seed=0)
    tokens_BT = random_tokens(9)
    expected = model(tokens_BT)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(tokens_BT), expected)


def test_no_tokens_at_all_are_refused() -> None:
    model = HybridLM(small("a"), seed=0)
    state = model.new_state(batch_size=2, max_tokens=4, device="cpu", dtype=torch.float32)
    for call in (model, lambda tokens_BT: model.prefill(tokens_BT, state)):
        with pytest.raises(ValueError, match="at least one token"):
            call(random_tokens(0))
