"""The chunked recurrences at the edges: extreme decays, repeated keys, every chunk size, gradients in float64."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from operators.chunks import Chunking, DocumentChunks
from operators.deltanet import chunked as deltanet_chunked
from operators.deltanet import reference as deltanet_reference
from operators.linear_scan import linear_scan
from operators.mamba1 import reference as mamba1_reference
from operators.mamba1 import scan as mamba1_scan
from operators.mamba2 import chunked as mamba2_chunked
from operators.mamba2 import reference as mamba2_reference

CloseCheck = Callable[..., None]
Scan = Callable[..., tuple[Tensor, Tensor]]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(11)


def mamba2_inputs(tokens: int, *, dtype: torch.dtype = torch.float32, step: float = 0.1) -> tuple[Tensor, ...]:
    draw = partial(torch.randn, generator=generator(), dtype=dtype)
    return (
        draw(2, tokens, 4, 6),
        step * draw(2, tokens, 4).abs(),
        -draw(4).exp(),
        draw(2, tokens, 2, 5),
        draw(2, tokens, 2, 5),
        draw(2, 4, 6, 5),
    )


def deltanet_inputs(tokens: int, *, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    draw = partial(torch.randn, generator=generator(), dtype=dtype)
    return (
        draw(2, tokens, 3, 6),
        F.normalize(draw(2, tokens, 3, 6), dim=-1),
        draw(2, tokens, 3, 4),
        2 * draw(2, tokens, 3).sigmoid(),
        draw(2, 3, 6, 4),
    )


def mamba1_inputs(tokens: int, *, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    draw = partial(torch.randn, generator=generator(), dtype=dtype)
    return (
        draw(2, tokens, 7),
        0.3 * draw(2, tokens, 7).abs(),
        -draw(7, 3).exp(),
        draw(2, tokens, 3),
        draw(2, tokens, 3),
        draw(2, 7, 3),
    )


def call(scan: Scan, name: str, inputs: tuple[Tensor, ...], **keywords: object) -> tuple[Tensor, Tensor]:
    state = {"mamba2": "state_BHPN", "deltanet": "state_BHKV", "mamba1": "state_BIN"}[name]
    return scan(*inputs[:-1], **{state: inputs[-1]}, **keywords)


SCANS: dict[str, tuple[Scan, Scan, Callable[..., tuple[Tensor, ...]]]] = {
    "mamba2": (mamba2_chunked.chunked, mamba2_reference.recurrent, mamba2_inputs),
    "deltanet": (deltanet_chunked.chunked, deltanet_reference.recurrent, deltanet_inputs),
    "mamba1": (mamba1_scan.scanned, mamba1_reference.recurrent, mamba1_inputs),
}


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("tokens", [1, 2, 31, 64, 130])
def test_chunked_equals_recurrent_with_every_gradient_in_float64(
    name: str, tokens: int, assert_close: CloseCheck
) -> None:
    fast, slow, make = SCANS[name]
    results = []
    for scan in (fast, slow):
        inputs = tuple(x.requires_grad_() for x in make(tokens, dtype=torch.float64))
        y, last = call(scan, name, inputs)
        grads = torch.autograd.grad(y.sin().sum() + last.square().sum(), inputs)
        results.append((y, last, *grads))
    for index, (actual, expected) in enumerate(zip(*results, strict=True)):
        assert_close(actual, expected, dtype=torch.float64, what=f"result {index}")


@pytest.mark.parametrize("name", ["mamba2", "deltanet"])
@pytest.mark.parametrize("chunk_tokens", [1, 2, 7, 16, 64, 1000])
def test_the_chunk_size_does_not_matter(name: str, chunk_tokens: int, assert_close: CloseCheck) -> None:
    fast, slow, make = SCANS[name]
    inputs = make(50)
    for actual, expected in zip(
        call(fast, name, inputs, chunk_tokens=chunk_tokens), call(slow, name, inputs), strict=True
    ):
        assert_close(actual, expected)


@pytest.mark.parametrize("step", [0.0, 1e-6, 50.0, 1e4])
def test_mamba2_stands_any_step_size(step: float, assert_close: CloseCheck) -> None:
    inputs = tuple(x.requires_grad_() for x in mamba2_inputs(100, step=step))
    y, last = call(mamba2_chunked.chunked, "mamba2", inputs)
    exact = tuple(x.detach().double() for x in inputs)
    expected, _ = call(mamba2_reference.recurrent, "mamba2", exact)
    assert_close(y, expected)
    grads = torch.autograd.grad(y.sum() + last.sum(), inputs)
    assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("beta", [1.0, 1.9])
def test_the_delta_rule_stands_one_key_repeated(beta: float, assert_close: CloseCheck) -> None:
    q, k, v, strength, state = deltanet_inputs(150)
    k = k[:, :1].expand_as(k)
    inputs = (q, k, v, torch.full_like(strength, beta), state)
    y, _ = call(deltanet_chunked.chunked, "deltanet", inputs)
    expected, _ = call(deltanet_reference.recurrent, "deltanet", tuple(x.double() for x in inputs))
    assert_close(y, expected)


def test_the_delta_rule_recalls_what_it_stored() -> None:
    k = torch.eye(4).reshape(1, 4, 1, 4)
    v = torch.arange(8.0).reshape(1, 4, 1, 2)
    ones = torch.ones(1, 4, 1)
    _, state = deltanet_chunked.chunked(k, k, v, ones, state_BHKV=torch.zeros(1, 1, 4, 2))
    assert torch.allclose(state[0, 0], v[0, :, 0])
    y, state = deltanet_chunked.chunked(k, k, 10 + v, ones, state_BHKV=state)
    assert torch.allclose(state[0, 0], 10 + v[0, :, 0]), "a stored value is replaced, not added to"
    assert torch.allclose(y[0, :, 0], 10 + v[0, :, 0])


def test_a_linear_scan_has_the_gradient_of_its_recurrence() -> None:
    draw = partial(torch.randn, generator=generator(), dtype=torch.float64)
    inputs = (draw(5, 2, 1).requires_grad_(), draw(5, 2, 3).requires_grad_(), draw(2, 3).requires_grad_())
    assert torch.autograd.gradcheck(linear_scan, inputs)
    assert torch.autograd.gradcheck(lambda *x: linear_scan(*x)[0], inputs)
    assert torch.autograd.gradcheck(lambda *x: linear_scan(*x)[1], inputs)


@pytest.mark.parametrize("name", [*SCANS, "linear scan"])
def test_gradients_of_a_scan_refuse_to_be_differentiated(name: str) -> None:
    if name == "linear scan":
        inputs: tuple[Tensor, ...] = (torch.rand(5, 2, 1), torch.rand(5, 2, 3), torch.rand(2, 3))
        y = linear_scan(*(x.requires_grad_() for x in inputs))[0]
    else:
        fast, _, make = SCANS[name]
        inputs = tuple(x.requires_grad_() for x in make(40))
        y = call(fast, name, inputs)[0]
    # Not the first: queries only read a state, in products that torch differentiates any number of times.
    for leaf in inputs[1:]:
        with pytest.raises(RuntimeError, match="first derivatives only"):
            torch.autograd.grad(y.square().sum(), leaf, create_graph=True)


@pytest.mark.parametrize(("tokens", "longest"), [(1, 64), (64, 64), (65, 64), (130, 64), (7, 1)])
def test_chunks_are_even_and_hardly_padded(tokens: int, longest: int) -> None:
    chunking = Chunking.of(tokens, longest=longest)
    assert chunking.chunk_tokens <= longest
    assert 0 <= chunking.padding < chunking.num_chunks
    x_BTC = torch.arange(tokens)[None, :, None].expand(2, -1, 3)
    assert torch.equal(chunking.join(chunking.split(x_BTC)), x_BTC)


def test_documents_are_cut_at_their_boundaries() -> None:
    segment_BT = torch.tensor([[0, 0, 1, 1, 1, 2, 3]])
    cut = DocumentChunks.of(segment_BT, Chunking.of(7, longest=4))
    assert cut.first.tolist() == [[[0, 0, 2, 2], [0, 1, 2, 2]]]
    assert cut.continued.tolist() == [[[True, True, False, False], [True, False, False, False]]]
    assert cut.last.tolist() == [[[False, False, True, True], [False, False, True, True]]]
    assert cut.unbroken.tolist() == [[False, False]]
