"""How models are trained: compiled, in bfloat16, with checkpointed activations, on packed documents, at any length."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from operators.model import HybridLM
from search_spaces.architecture import Architecture
from search_spaces.dimensions import Dimensions, architecture_from_pattern
from search_spaces.references import load_reference
from search_spaces.specs import with_kv_source

CloseCheck = Callable[..., None]
# torch.compile itself makes an instance of every autograd function it traces.
pytestmark = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")

LETTERS = ("a", "w", "m1", "m2", "d", "gd", "hh")
TOKENS = 45


def architecture(pattern: str, *, kv_sources: dict[int, int] | None = None) -> Architecture:
    plain = architecture_from_pattern(
        pattern,
        hidden_size=32,
        vocab_size=50,
        num_meta_tokens=3,
        dimensions=Dimensions(
            head_dim=16, window=6 if "w" in pattern else None, mamba_head_dim=16, mamba_state_size=8, rope_theta=1e4
        ),
    )
    operators = [with_kv_source(spec, (kv_sources or {}).get(index)) for index, spec in enumerate(plain.operators)]
    return Architecture(hidden_size=32, vocab_size=50, num_meta_tokens=3, operators=tuple(operators))


def tokens() -> Tensor:
    return torch.randint(50, (2, TOKENS), generator=torch.Generator().manual_seed(1))


def document_ids(packed: bool) -> Tensor | None:
    return (torch.arange(TOKENS) > 20).long().expand(2, -1) if packed else None


def outcome(run: Callable[..., Tensor], model: HybridLM, *, packed: bool) -> dict[str, Tensor]:
    model.zero_grad()
    logits_BTV = run(tokens(), document_ids_BT=document_ids(packed))
    logits_BTV.float().logsumexp(-1).sum().backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(grad is not None for grad in found.values())
    return {"logits": logits_BTV.detach(), **{name: grad.clone() for name, grad in found.items() if grad is not None}}


@pytest.mark.parametrize(("letter", "packed"), [(letter, True) for letter in LETTERS], ids=lambda case: str(case))
def test_a_model_compiles_without_a_graph_break(assert_close: CloseCheck, letter: str, packed: bool) -> None:
    torch._dynamo.reset()
    model = HybridLM(architecture(f"{letter} f"), seed=0)
    expected = outcome(model, model, packed=packed)
    # Traced forward and backward, but run by torch's own kernels, so that no C++ compiler is needed.
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for name, value in outcome(compiled, model, packed=packed).items():
        assert_close(value, expected[name], what=name)


# With the three meta tokens: one chunk and many, full ones and nearly full ones.
LENGTHS = (2, 7, 28, 29, 30, 61, 62, 64, 90, 125, 150, 300)


@pytest.mark.parametrize("letter", LETTERS)
def test_one_graph_serves_every_length(assert_close: CloseCheck, letter: str) -> None:
    torch._dynamo.reset()
    model = HybridLM(architecture(f"{letter} f"), seed=0)
    expected = outcome(model, model, packed=False)
    graphs = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, fullgraph=True, backend=graphs)

    def run(tokens_BT: Tensor, *, document_ids_BT: Tensor | None = None) -> Tensor:
        if letter != "w":
            torch._dynamo.mark_dynamic(tokens_BT, 1)
        logits_BTV: Tensor = compiled(tokens_BT, document_ids_BT=document_ids_BT)
        return logits_BTV

    for name, value in outcome(run, model, packed=False).items():
        assert_close(value, expected[name], what=name)
    for length in LENGTHS:
        tokens_BT = torch.randint(50, (2, length), generator=torch.Generator().manual_seed(length))
        assert_close(run(tokens_BT), model(tokens_BT), what=f"{length} tokens")
    # A window is none to what lies within it, and takes its queries in blocks beyond 256 tokens: a graph for the first
    # length, as by default, one for all others up to there, one for the shortest, one for the longest.
    assert graphs.frame_count == (4 if letter == "w" else 1)


def test_compiled_as_by_default_there_are_two_graphs() -> None:
    torch._dynamo.reset()
    model = HybridLM(architecture("m1"), seed=0)
    graphs = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, fullgraph=True, backend=graphs)
    for length in LENGTHS:
        compiled(torch.zeros(2, length, dtype=torch.int64)).sum().backward()
    # One for the first length, one for all others.
    assert graphs.frame_count == 2


def test_a_model_of_shared_keys_and_values_compiles_in_bfloat16(assert_close: CloseCheck) -> None:
    torch._dynamo.reset()
    model = HybridLM(architecture("a f a d", kv_sources={2: 0}), seed=0)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", torch.bfloat16):
        expected = outcome(model, model, packed=True)
        found = outcome(compiled, model, packed=True)
    for name, value in found.items():
        assert_close(value, expected[name], dtype=torch.bfloat16, what=name)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("pattern", ["a f a d", "w m2 w hh hh gd m1"])
def test_checkpointed_activations_change_no_gradient(pattern: str, packed: bool) -> None:
    sources = {2: 0} if pattern.startswith("a") else {2: 0, 4: 3}
    model = HybridLM(architecture(pattern, kv_sources=sources), seed=0)
    expected = outcome(model, model, packed=packed)
    model.checkpoints_activations = True
    for name, value in outcome(model, model, packed=packed).items():
        assert torch.equal(value, expected[name]), name


def test_checkpointed_activations_are_not_kept() -> None:
    model = HybridLM(architecture("(d f m2 f)x2"), seed=0)

    def kept_bytes() -> int:
        storages = {}

        def pack(tensor: Tensor) -> Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            logits = model(tokens())
        assert logits.requires_grad
        return sum(storages.values())

    everything = kept_bytes()
    model.checkpoints_activations = True
    assert kept_bytes() < everything / 3


def test_a_compiled_model_may_be_checkpointed(assert_close: CloseCheck) -> None:
    torch._dynamo.reset()
    model = HybridLM(architecture("d f w"), seed=0)
    expected = outcome(model, model, packed=False)
    model.checkpoints_activations = True
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for name, value in outcome(compiled, model, packed=False).items():
        assert_close(value, expected[name], what=name)


@pytest.mark.parametrize("length", [1, 2, 31, 33, 64, 65])
def test_no_length_needs_padding(assert_close: CloseCheck, length: int) -> None:
    model = HybridLM(architecture("d f m2 w gd m1 hh a"), seed=0)
    tokens_BT = torch.randint(50, (1, 65), generator=torch.Generator().manual_seed(2))
    assert_close(model(tokens_BT[:, :length]), model(tokens_BT)[:, :length])


def test_autocast_to_bfloat16_stays_close_to_float32(assert_close: CloseCheck) -> None:
    model = HybridLM(architecture("d f m2 f a f gd f hh f"), seed=0)
    exact = model(tokens())
    with torch.autocast("cpu", torch.bfloat16):
        narrow = model(tokens())
    assert_close(narrow.float(), exact, within=3e-2)


def test_a_published_model_can_be_checkpointed_on_the_meta_device() -> None:
    with torch.device("meta"):
        model = HybridLM(load_reference("nemotron-flash-1b"), seed=0)
        model.checkpoints_activations = True
        assert model(torch.zeros(1, 7, dtype=torch.int64)).shape == (1, 7, 131072)
