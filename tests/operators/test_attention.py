"""Fused attention against plain softmax in float64, and what it must not do: make large masks, or split a graph."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from operators.attention import backends
from operators.attention.backends import attend_causal, attend_fused
from operators.attention.reference import attend
from operators.attention.sight import Sight, Span, take
from operators.base import Operator
from operators.context import Documents, SequenceContext
from operators.initialization import generator_from
from operators.registry import build_operator
from search_spaces.specs import AttentionSpec

CloseCheck = Callable[..., None]
SMALL_BLOCK = 16
"""Queries to a block here, so that short sequences have many."""


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "QUERY_BLOCK", SMALL_BLOCK)


@pytest.fixture
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every backward pass make its masks again."""
    monkeypatch.setattr(backends, "LARGEST_KEPT_MASK", 0)


def packing(tokens: int, *, batch: int = 2) -> Documents:
    """Return documents of about ten tokens, cut elsewhere in every row."""
    starts_BT = torch.rand(batch, tokens, generator=generator_from(tokens)) < 0.1
    return Documents.from_ids(starts_BT.cumsum(1))


def positions_of_keys(sight: Sight) -> list[int]:
    """Return where the keys stand, by the words of `Sight`: meta tokens, then a run that ends with the last query."""
    meta = list(range(min(sight.num_meta_tokens, sight.num_keys)))
    end = sight.start + sight.num_queries
    return meta + list(range(end - (sight.num_keys - len(meta)), end))


def seen_by_rule(sight: Sight, *, batch: int) -> Tensor:
    """Return who sees whom, [B, T, S], pair by pair."""
    keys, meta = positions_of_keys(sight), sight.num_meta_tokens
    segments = [[-1] * meta + row for row in sight.documents.segment.tolist()] if sight.documents else [None] * batch

    def sees(query: int, key: int, segment: list[int] | None) -> bool:
        if key > query:
            return False
        if key < meta:
            return True
        near = sight.window is None or query - key < sight.window
        return near and (segment is None or segment[query] == segment[key])

    queries = range(sight.start, sight.start + sight.num_queries)
    return torch.tensor([[[sees(query, key, row) for key in keys] for query in queries] for row in segments])


def sights() -> Iterator[Any]:
    """Yield whole sequences and continuations: fresh behind meta tokens, behind a ring, from within the meta tokens."""
    for window, meta in product((None, 2, 7, 30), (0, 3, 20)):
        common = {"window": window, "num_meta_tokens": meta}
        cases = {
            "whole": {"start": 0, "num_queries": 41 + meta, "num_keys": 41 + meta},
            "behind meta": {"start": meta, "num_queries": 41, "num_keys": 41 + meta},
            "far behind": {"start": meta + 50, "num_queries": 37, "num_keys": meta + 87},
            "short": {"start": meta + 50, "num_queries": 3, "num_keys": meta + 53},
            "within meta": {"start": meta // 2, "num_queries": 40, "num_keys": meta // 2 + 40},
            "only meta": {"start": 0, "num_queries": max(1, meta // 2), "num_keys": max(1, meta // 2)},
        }
        if window is not None:
            ring = window - 1
            cases["ring"] = {"start": meta + 50, "num_queries": 37, "num_keys": meta + ring + 37}
            cases["wide ring"] = {"start": meta + 50, "num_queries": 37, "num_keys": meta + ring + 6 + 37}
        for name, case in cases.items():
            yield pytest.param(Sight(**common, **case), id=f"{name}, window {window}, {meta} meta")
        packed = Sight(start=0, num_queries=41 + meta, num_keys=41 + meta, documents=packing(41), **common)
        yield pytest.param(packed, id=f"packed, window {window}, {meta} meta")


def heads(sight: Sight, *, num_heads: int = 4, num_kv_heads: int = 2, value_dim: int = 5) -> list[Tensor]:
    """Return random q, k and v in float64 that want gradients."""
    shapes = (
        (sight.num_queries, num_heads, 8),
        (sight.num_keys, num_kv_heads, 8),
        (sight.num_keys, num_kv_heads, value_dim),
    )
    generator = generator_from(5)
    return [torch.randn(2, *shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes]


def with_gradients(y_BTHV: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    return [y_BTHV.detach(), *torch.autograd.grad(y_BTHV.sin().sum(), leaves)]


@pytest.mark.parametrize("sight", list(sights()))
def test_a_mask_says_who_sees_whom(sight: Sight) -> None:
    expected = seen_by_rule(sight, batch=2)
    for first in range(0, sight.num_queries, SMALL_BLOCK):
        queries = Span(first, min(first + SMALL_BLOCK, sight.num_queries))
        reach = sight.reach(queries)
        mask = sight.mask(queries, device=torch.device("cpu")).expand(2, -1, -1)
        of_queries = expected[:, queries.start : queries.stop]
        index = take(torch.arange(sight.num_keys)[None], reach, num_prefix=sight.num_prefix)[0]
        assert torch.equal(mask, of_queries[:, :, index])
        assert mask.sum() == of_queries.sum(), "a key beyond the reach is seen"
    if sight.documents is None:
        causal = torch.ones_like(expected).tril(sight.num_keys - sight.num_queries)
        assert sight.is_causal == torch.equal(expected, causal)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("sight", list(sights()))
def test_fused_attention_and_every_gradient_equal_plain_softmax(sight: Sight, assert_close: CloseCheck) -> None:
    leaves = heads(sight)
    actual = with_gradients(attend_fused(*leaves, sight=sight), leaves)
    expected = with_gradients(attend(*leaves, mask=seen_by_rule(sight, batch=2)), leaves)
    for name, mine, theirs in zip(("output", "q", "k", "v"), actual, expected, strict=True):
        assert_close(mine, theirs, dtype=torch.float64, what=name)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("num_kv_heads", [1, 2, 4])
@pytest.mark.parametrize("value_dim", [3, 8, 13])
@pytest.mark.parametrize("past", [0, 9, 70])
def test_heads_of_any_number_and_width_are_attended(
    num_kv_heads: int, value_dim: int, past: int, assert_close: CloseCheck
) -> None:
    for window in (None, 11):
        sight = Sight(start=past, num_queries=40, num_keys=past + 40, window=window)
        leaves = heads(sight, num_kv_heads=num_kv_heads, value_dim=value_dim)
        actual = with_gradients(attend_fused(*leaves, sight=sight), leaves)
        expected = with_gradients(attend(*leaves, mask=seen_by_rule(sight, batch=2)), leaves)
        for mine, theirs in zip(actual, expected, strict=True):
            assert_close(mine, theirs, dtype=torch.float64)


@pytest.mark.usefixtures("small_blocks", "nothing_kept")
@pytest.mark.parametrize("window", [None, 7])
def test_masks_made_again_in_the_backward_pass_give_the_same_gradients(window: int | None) -> None:
    sight = Sight(start=0, num_queries=80, num_keys=80, window=window, documents=packing(80))
    leaves = heads(sight)
    again = with_gradients(attend_fused(*leaves, sight=sight), leaves)
    backends.LARGEST_KEPT_MASK = 2**40
    for mine, theirs in zip(again, with_gradients(attend_fused(*leaves, sight=sight), leaves), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("window", [None, 9, 40])
@pytest.mark.parametrize("meta", [0, 5])
def test_long_chunks_continue_one_another(window: int | None, meta: int, assert_close: CloseCheck) -> None:
    operator = attention(window=window).double()
    x_BTD = torch.randn(2, 150 + meta, 24, generator=generator_from(1), dtype=torch.float64)
    context = SequenceContext(num_meta_tokens=meta)
    for sizes in ((meta + 1, 149), (meta + 60, 90), (meta + 60, 7, 83), (meta + 20, 60, 70)):
        state = operator.new_state(
            batch_size=2, max_tokens=150 + meta, device="cpu", dtype=torch.float64, num_meta_tokens=meta
        )
        with torch.no_grad():
            chunks = [operator(chunk, state=state, context=context) for chunk in x_BTD.split(sizes, dim=1)]
        assert_close(torch.cat(chunks, dim=1), operator(x_BTD, context=context), dtype=torch.float64)


def test_a_chunk_with_gradients_passes_them_on_to_its_own_keys(assert_close: CloseCheck) -> None:
    operator = attention(window=None)
    x_BTD = torch.randn(1, 12, 24, generator=generator_from(1))
    found = []
    for graded in (False, True):
        state = operator.new_state(batch_size=1, max_tokens=12, device="cpu", dtype=torch.float32)
        with torch.no_grad():
            operator(x_BTD[:, :5], state=state, context=SequenceContext())
        chunk = x_BTD[:, 5:].clone().requires_grad_(graded)
        y_BTD = operator(chunk, state=state, context=SequenceContext()) if graded else None
        if y_BTD is not None:
            found.append(torch.autograd.grad(y_BTD.sum(), chunk)[0])
    whole = x_BTD.clone().requires_grad_()
    expected = torch.autograd.grad(operator(whole, context=SequenceContext())[:, 5:].sum(), whole)[0]
    assert_close(found[0], expected[:, 5:])


class Largest(TorchDispatchMode):
    """Remembers how many numbers the largest tensor has, and which kernels of attention ran."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0
        self.kernels: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "scaled_dot_product" in str(func):
            self.kernels.add(str(func))
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.numel = max(self.numel, tensor.untyped_storage().nbytes() // tensor.itemsize)
        return result


def attention(*, window: int | None, **more: Any) -> Operator[Any]:
    spec = AttentionSpec(num_heads=2, num_kv_heads=1, head_dim=8, window=window, rope_theta=1e4, **more)
    operator = build_operator(spec, hidden_size=24, norm_eps=1e-6)
    operator.initialize(generator=generator_from(0), depth=1)
    return operator


@pytest.mark.parametrize("window", [None, 512])
def test_a_long_packed_row_makes_no_mask_of_its_length_squared(window: int | None) -> None:
    tokens, meta = 8192, 16
    operator, documents = attention(window=window), packing(tokens, batch=1)
    x_BTD = torch.randn(1, meta + tokens, 24, generator=generator_from(1)).requires_grad_()
    with Largest() as largest:
        y_BTD = operator(x_BTD, context=SequenceContext(num_meta_tokens=meta, documents=documents))
        y_BTD.sum().backward()
    assert largest.numel <= backends.QUERY_BLOCK * (tokens + meta)
    assert not [name for name in largest.kernels if "math" in name]


def test_masks_are_not_kept_for_the_backward_pass_of_a_long_packed_row() -> None:
    tokens = 8192
    sight = Sight(start=0, num_queries=tokens, num_keys=tokens, documents=packing(tokens, batch=1))
    leaves = [torch.randn(1, tokens, 1, 8).requires_grad_() for _ in range(3)]
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        attend_fused(*leaves, sight=sight)
    assert sum(kept.values()) < 16 * sum(leaf.nbytes for leaf in leaves)


@pytest.mark.parametrize(("past", "window"), [(64, None), (5000, None), (64, 128), (5000, 128), (64, 4000)])
def test_a_prompt_behind_a_past_makes_no_mask_of_its_length_squared(past: int, window: int | None) -> None:
    tokens, meta = 4096, 64
    sight = Sight(
        start=past, num_queries=tokens, num_keys=past + tokens, num_meta_tokens=min(meta, past), window=window
    )
    q, k, v = (torch.randn(1, length, 1, 8) for length in (tokens, past + tokens, past + tokens))
    with torch.no_grad(), Largest() as largest:
        attend_fused(q, k, v, sight=sight)
    bound = past + tokens if window is None else meta + window + backends.QUERY_BLOCK
    assert largest.numel <= max(backends.QUERY_BLOCK * bound, 8 * (past + tokens))


@pytest.mark.parametrize("value_dim", [4, 8, 16])
@pytest.mark.parametrize("past", [0, 10, 100])
def test_a_fused_kernel_runs_whatever_the_width_of_values(value_dim: int, past: int) -> None:
    q, k, v = (torch.randn(1, t, h, w) for t, h, w in ((50, 4, 8), (past + 50, 2, 8), (past + 50, 2, value_dim)))
    with torch.no_grad(), Largest() as largest:
        attend_causal(q, k, v)
    assert largest.kernels == {"aten._scaled_dot_product_flash_attention_for_cpu.default"}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("kept", "window", "checkpointed"),
    [(True, None, False), (True, 9, True), (False, None, True), (False, 9, False)],
)
# Dynamo itself makes an instance of the autograd function of our norms.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_packed_attention_is_one_graph(
    kept: bool, window: int | None, checkpointed: bool, monkeypatch: pytest.MonkeyPatch, assert_close: CloseCheck
) -> None:
    monkeypatch.setattr(backends, "LARGEST_KEPT_MASK", 2**24 if kept else 0)
    torch.compiler.reset()
    operator = attention(window=window, qk_norm=True, value_head_dim=6)
    x_BTD = torch.randn(2, 43, 24, generator=generator_from(1)).requires_grad_()
    ids_BT = torch.arange(40).expand(2, -1) // 11

    def run(x_BTD: Tensor, ids_BT: Tensor) -> Tensor:
        context = SequenceContext(num_meta_tokens=3, documents=Documents.from_ids(ids_BT))
        y_BTD: Tensor = (
            checkpoint(lambda x_BTD: operator(x_BTD, context=context), x_BTD, use_reentrant=False)
            if checkpointed
            else operator(x_BTD, context=context)
        )
        return y_BTD

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    leaves = [x_BTD, *operator.parameters()]
    for mine, theirs in zip(
        with_gradients(compiled(x_BTD, ids_BT), leaves), with_gradients(run(x_BTD, ids_BT), leaves), strict=True
    ):
        assert_close(mine, theirs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("window", [None, 20])
def test_narrow_dtypes_run_in_chunks_and_steps(
    dtype: torch.dtype, window: int | None, assert_close: CloseCheck
) -> None:
    exact = attention(window=window, qk_norm=True)
    x_BTD = torch.randn(2, 60, 24, generator=generator_from(1))
    expected = exact(x_BTD, context=SequenceContext(num_meta_tokens=4))
    narrow = attention(window=window, qk_norm=True).to(dtype)
    state = narrow.new_state(batch_size=2, max_tokens=60, device="cpu", dtype=dtype, num_meta_tokens=4)
    with torch.no_grad():
        context = SequenceContext(num_meta_tokens=4)
        chunks = [
            narrow(chunk.to(dtype), state=state, context=context) for chunk in x_BTD[:, :50].split((4, 46), dim=1)
        ]
        steps = [narrow.step(x_BD.to(dtype), state)[:, None] for x_BD in x_BTD[:, 50:].unbind(1)]
    actual = torch.cat((*chunks, *steps), dim=1)
    assert actual.dtype == dtype
    assert_close(actual, expected, dtype=torch.bfloat16)


def test_frequencies_kept_for_steps_follow_the_weights_to_another_device() -> None:
    operator = attention(window=None)
    state = operator.new_state(batch_size=1, max_tokens=3, device="cpu", dtype=torch.float32)
    with torch.inference_mode():
        operator.step(torch.zeros(1, 24), state)
    assert set(operator.state_dict()) == {"in_projection.weight", "output.weight"}
    operator = operator.to("meta")
    state = operator.new_state(batch_size=1, max_tokens=3, device="meta", dtype=torch.float32)
    assert operator.step(torch.zeros(1, 24, device="meta"), state).device.type == "meta"


NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="which of its kernels runs only a GPU can show")


def half(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [torch.randn(shape, device="cuda", dtype=torch.bfloat16) for shape in shapes]


@pytest.mark.parametrize("value_dim", [64, 128])
@pytest.mark.parametrize("past", [0, 100, 5000])
@pytest.mark.gpu
@NEEDS_GPU
def test_causal_attention_reaches_flash_attention(past: int, value_dim: int, assert_close: CloseCheck) -> None:
    tokens = 1000
    q, k, v = half((2, tokens, 8, 64), (2, past + tokens, 2, 64), (2, past + tokens, 2, value_dim))
    with torch.no_grad(), Largest() as largest:
        y = attend_causal(q, k, v)
    flash, cudnn = (f"aten._scaled_dot_product_{name}_attention.default" for name in ("flash", "cudnn"))
    assert largest.kernels in ({flash}, {cudnn})
    sight = Sight(start=past, num_queries=tokens, num_keys=past + tokens)
    assert_close(y, attend(q, k, v, mask=sight.mask(Span(0, tokens), device=q.device)), dtype=torch.bfloat16)


@pytest.mark.parametrize("window", [None, 200])
@pytest.mark.gpu
@NEEDS_GPU
def test_attention_under_a_mask_reaches_a_fused_kernel(window: int | None, assert_close: CloseCheck) -> None:
    tokens, meta = 3000, 16
    packed = packing(tokens)
    documents = Documents(segment=packed.segment.cuda(), offset=packed.offset.cuda())
    sight = Sight(
        start=0,
        num_queries=meta + tokens,
        num_keys=meta + tokens,
        num_meta_tokens=meta,
        window=window,
        documents=documents,
    )
    q, k, v = half((2, meta + tokens, 8, 64), (2, meta + tokens, 2, 64), (2, meta + tokens, 2, 128))
    with torch.no_grad(), Largest() as largest:
        y = attend_fused(q, k, v, sight=sight)
    assert not [name for name in largest.kernels if "math" in name]
    expected = attend(q, k, v, mask=sight.mask(Span(0, meta + tokens), device=q.device))
    assert_close(y, expected, dtype=torch.bfloat16)
