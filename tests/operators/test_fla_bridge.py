"""The bridge to fla's layers, with a small package of that name whose layers run on a CPU."""

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from operators import backends
from operators.base import StateError
from operators.context import Documents, SequenceContext
from operators.fla import cost
from operators.fla.classes import build_layer, layer_classes
from operators.fla.layer import FlaLayer
from operators.initialization import generator_from, initialize_operator
from search_spaces.errors import SpecError, UnavailableError
from search_spaces.specs import FlaSpec

HIDDEN_SIZE = 8

LAYERS = '''
import torch
from torch import nn


class TinyRecurrence(nn.Module):
    """S_t = decay S_{t-1} + k_t v_tT; keys see the token before theirs. Single tokens write a state in place."""

    def __init__(self, hidden_size=4, num_heads=2, expand_v=1.0, norm_eps=1e-5, layer_idx=None, **kwargs):
        super().__init__()
        assert hidden_size % num_heads == 0, "hidden_size must be a multiple of num_heads."
        self.num_heads, self.layer_idx = num_heads, layer_idx
        self.head_k_dim, self.head_v_dim = hidden_size // num_heads, int(hidden_size * expand_v) // num_heads
        self.q_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.k_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.v_proj = nn.Linear(hidden_size, int(hidden_size * expand_v), bias=False)
        self.A_log = nn.Parameter(torch.empty(num_heads).uniform_(1, 2).log())
        self.register_buffer("shift", torch.full((1,), 0.5), persistent=False)
        self.o_proj = nn.Linear(int(hidden_size * expand_v), hidden_size, bias=False)

    def forward(self, hidden_states, past_key_values=None, use_cache=False, cu_seqlens=None, **kwargs):
        last = past_key_values[0] if past_key_values is not None and len(past_key_values) else None
        held = (None, None) if last is None else (last["recurrent_state"], last["conv_state"][0])
        if cu_seqlens is None:
            y, state, before = self.recur(hidden_states, *held)
        else:
            parts = []
            for index, (start, end) in enumerate(zip(cu_seqlens[:-1].tolist(), cu_seqlens[1:].tolist())):
                one = (None if tensor is None else tensor[index : index + 1] for tensor in held)
                parts.append(self.recur(hidden_states[:, start:end], *one))
            y, state, before = torch.cat([p[0] for p in parts], 1), *(torch.cat([p[i] for p in parts]) for i in (1, 2))
        if use_cache:
            if last is not None and not torch.is_grad_enabled() and hidden_states.shape[1] == 1:
                before = last["conv_state"][0].copy_(before)
            past_key_values.update(recurrent_state=state, conv_state=(before, None), layer_idx=self.layer_idx)
        return y, None, past_key_values

    def recur(self, x, state, before):
        batch = x.shape[0]
        before = x.new_zeros(batch, x.shape[2]) if before is None else before
        if state is None:
            state = x.new_zeros(batch, self.num_heads, self.head_k_dim, self.head_v_dim, dtype=torch.float32)
        shifted = torch.cat((before[:, None], x[:, :-1]), 1)
        q, k, v = (
            p(h).unflatten(-1, (self.num_heads, -1))
            for p, h in ((self.q_proj, x), (self.k_proj, x + self.shift * shifted), (self.v_proj, x))
        )
        outputs = []
        for t in range(x.shape[1]):
            state = state * (-self.A_log.exp()).exp()[:, None, None] + k[:, t, :, :, None] * v[:, t, :, None]
            outputs.append(torch.einsum("bhkv,bhk->bhv", state, q[:, t]).flatten(1))
        return self.o_proj(torch.stack(outputs, 1)), state, x[:, -1]


class Unpackable(nn.Module):
    def __init__(self, hidden_size=4, layer_idx=None):
        super().__init__()
        self.gate = nn.Linear(hidden_size, hidden_size)
        self.out_proj = nn.Linear(hidden_size, hidden_size)

    def forward(self, hidden_states, past_key_values=None, use_cache=False):
        if use_cache:
            self.keep(past_key_values, hidden_states)
        return self.out_proj(self.gate(hidden_states).sigmoid()), None, past_key_values

    def keep(self, cache, x):
        """Keep nothing."""


class Growing(Unpackable):
    def keep(self, cache, x):
        cache.update(attn_state=(x, x), layer_idx=0)


class Counting(Unpackable):
    def keep(self, cache, x):
        cache.get_seq_length(0)


class Shapeshifting(Unpackable):
    def keep(self, cache, x):
        cache.update(recurrent_state=(x.sum(1),) * x.shape[1], layer_idx=0)


class Biased(Unpackable):
    def forward(self, hidden_states, past_key_values=None, use_cache=False):
        y = self.out_proj(hidden_states)
        if use_cache:
            y = y + 1 if len(past_key_values) else y
            past_key_values.update(recurrent_state=y.sum(1), layer_idx=0)
        return y, None, past_key_values


class TwoWriters(Unpackable):
    def __init__(self, hidden_size=4):
        super().__init__(hidden_size)
        self.o_proj = nn.Linear(hidden_size, hidden_size)


class Stepping(TinyRecurrence):
    def forward(self, hidden_states, past_key_values=None, use_cache=False, **kwargs):
        if past_key_values is not None and len(past_key_values) and hidden_states.shape[1] > 1:
            raise ValueError("only a single token.")
        return super().forward(hidden_states, past_key_values, use_cache, **kwargs)


class Demanding(Unpackable):
    def __init__(self, hidden_size=4):
        raise ImportError("Install flash-attn.")
'''
MODULES = {
    "tiny": ["TinyRecurrence"],
    "unpackable": ["Unpackable"],
    "growing": ["Growing"],
    "counting": ["Counting"],
    "shapeshifting": ["Shapeshifting"],
    "biased": ["Biased"],
    "mamba3": ["Stepping"],
    "two": ["TwoWriters", "Demanding"],
    "mamba2": ["Unpackable"],
}
CACHE = """
class Cache:
    def __init__(self):
        self.entries = []

    def __len__(self):
        return len(self.entries)

    def __getitem__(self, index):
        return self.entries[index]

    def get_seq_length(self, index):
        return 0

    def update(self, recurrent_state=None, attn_state=None, conv_state=None, layer_idx=None, offset=1):
        assert layer_idx == 0
        self.entries = [{"recurrent_state": recurrent_state, "attn_state": attn_state, "conv_state": conv_state}]
"""


@pytest.fixture(autouse=True)
def fla_on_a_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Make a package `fla` of small layers importable, and let the backend run on a CPU."""
    layers = tmp_path / "fla" / "layers"
    (tmp_path / "fla" / "models").mkdir(parents=True)
    layers.mkdir()
    names: list[str] = []
    imports = ""
    for module, classes in MODULES.items():
        # Each module defines all classes anew, so that a class belongs to the module it is exported from.
        (layers / f"{module}.py").write_text(LAYERS)
        for name in classes:
            alias = "Mamba2" if module == "mamba2" else name
            imports += f"from .{module} import {name} as {alias}\n"
            names.append(alias)
    (layers / "__init__.py").write_text(f"{imports}__all__ = {names}\n")
    (tmp_path / "fla" / "__init__.py").write_text("")
    (tmp_path / "fla" / "models" / "__init__.py").write_text("")
    (tmp_path / "fla" / "models" / "utils.py").write_text(CACHE)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "fla"]:
        monkeypatch.delitem(sys.modules, name)
    anywhere = dataclasses.replace(backends.BACKENDS["fla"], devices=None, dtypes=frozenset({"float32"}))
    monkeypatch.setitem(backends.BACKENDS, "fla", anywhere)  # type: ignore[arg-type]  # a dict behind its Mapping
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "fla"]:
        del sys.modules[name]


def _operator(layer: str = "tiny", **fields: object) -> FlaLayer:
    spec = FlaSpec(layer=layer, **fields)  # type: ignore[arg-type]  # the tests' own keyword arguments
    with torch.device("meta"):
        operator = FlaLayer(spec, hidden_size=HIDDEN_SIZE, norm_eps=1e-6, backend="auto")
    operator.to_empty(device="cpu")
    initialize_operator(operator, generator=generator_from(0), depth=4)
    return operator


def _input(tokens: int) -> Tensor:
    return torch.randn(2, tokens, HIDDEN_SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layer", ["tiny", "mamba3"])
def test_steps_and_chunks_give_the_sequence_at_fixed_addresses(layer: str, assert_close: Callable[..., None]) -> None:
    operator, x_BTD, context = _operator(layer), _input(9), SequenceContext(start=0)
    with torch.no_grad():
        expected = operator(x_BTD, context=context)
        for widths in ((1,) * 9, (4, 1, 4)):
            state = operator.new_state(batch_size=2, max_tokens=16, device="cpu", dtype=torch.float32)
            addresses = [tensor.data_ptr() for tensor in state.tensors()]
            assert not any(tensor.any() for tensor in state.tensors())
            chunks = [
                operator.step(x[:, 0], state)[:, None]
                if len(widths) == 9
                else operator(x, state=state, context=context)
                for x in x_BTD.split(widths, dim=1)
            ]
            assert_close(torch.cat(chunks, 1), expected)
            assert [tensor.data_ptr() for tensor in state.tensors()] == addresses


@pytest.mark.parametrize("num_meta", [0, 3])
def test_packed_documents_are_computed_as_if_alone_behind_the_meta_tokens(
    num_meta: int, assert_close: Callable[..., None]
) -> None:
    operator, x_BTD = _operator(), _input(12 + num_meta).requires_grad_()
    ids_BT = torch.stack((torch.arange(12) // 5, torch.arange(12) // 7))
    context = SequenceContext(start=0, num_meta_tokens=num_meta, documents=Documents.from_ids(ids_BT))
    packed_BTD = operator(x_BTD, context=context)
    loss = x_BTD.new_zeros(())
    for row in range(2):
        for document in ids_BT[row].unique():
            chosen_T = torch.cat((torch.arange(num_meta), (ids_BT[row] == document).nonzero()[:, 0] + num_meta))
            alone_1TD = operator(x_BTD[row : row + 1, chosen_T], context=SequenceContext(start=0))
            assert_close(packed_BTD[row, chosen_T], alone_1TD[0])
            loss = loss + alone_1TD[0, num_meta if document else 0 :].square().sum()
    mine, theirs = (torch.autograd.grad(value, x_BTD)[0] for value in (packed_BTD.square().sum(), loss))
    assert_close(mine, theirs, what="gradient")


def test_layers_are_called_like_their_module_and_near_misses_are_named() -> None:
    assert {"tiny", "unpackable", "two_writers", "demanding"} <= set(layer_classes())
    with pytest.raises(SpecError, match=r"no layer 'tinny'\. Did you mean 'tiny'"):
        _operator("tinny")
    with pytest.raises(SpecError, match="Write m2 instead"):
        _operator("mamba2")
    with pytest.raises(UnavailableError, match="flash-attn"):
        _operator("demanding")


def test_options_are_those_of_the_constructor_and_heads_those_of_the_spec() -> None:
    operator = _operator(num_heads=4, head_dim=4, options={"expand_v": 2.0})
    assert operator.layer.head_v_dim == 4
    with pytest.raises(SpecError, match=r"no option 'expand_w'\. Did you mean 'expand_v'"):
        _operator(options={"expand_w": 2.0})
    with pytest.raises(SpecError, match="no option 'hidden_size'"):
        _operator(options={"hidden_size": 2})
    with pytest.raises(SpecError, match="head_k_dim = 4, head_v_dim = 4; the spec says head_dim = 3"):
        _operator(num_heads=2, head_dim=3)
    with pytest.raises(SpecError, match="does not take these dimensions: hidden_size must be a multiple"):
        _operator(num_heads=3)


def test_initial_weights_are_the_layers_own_and_follow_the_seed(assert_close: Callable[..., None]) -> None:
    operator = _operator()
    before = torch.random.get_rng_state()
    initialize_operator(operator, generator=generator_from(7), depth=4)
    first = {name: tensor.clone() for name, tensor in operator.named_parameters()}
    initialize_operator(operator, generator=generator_from(8), depth=4)
    assert not torch.equal(first["layer.A_log"], operator.layer.A_log)
    initialize_operator(operator, generator=generator_from(7), depth=4)
    for name, tensor in operator.named_parameters():
        assert torch.equal(first[name], tensor), name
    assert bool(((first["layer.A_log"] >= 0) & (first["layer.A_log"] <= 0.7)).all())
    assert operator.layer.get_buffer("shift").item() == 0.5
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_residual_stream_is_read_by_all_but_the_output_projection() -> None:
    operator = _operator()
    layer = operator.layer
    assert [id(w) for w in operator.reads_residual()] == [
        id(p.weight) for p in (layer.q_proj, layer.k_proj, layer.v_proj)
    ]
    assert [id(w) for w in operator.writes_residual()] == [id(layer.o_proj.weight)]
    with pytest.raises(SpecError, match="has 2 maps to its width"):
        _operator("two_writers")


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ("growing", "keeps keys and values of every token"),
        ("counting", "counts its tokens on the host"),
        ("biased", "does not start from a state of zeros"),
        ("unpackable", "keeps nothing"),
    ],
)
def test_a_layer_without_a_state_of_one_size_that_starts_from_zeros_does_not_decode(layer: str, reason: str) -> None:
    operator = _operator(layer)
    assert operator(_input(3), context=SequenceContext()).shape == (2, 3, HIDDEN_SIZE)
    with pytest.raises(SpecError, match=reason):
        operator.new_state(batch_size=2, max_tokens=4, device="cpu", dtype=torch.float32)


def test_what_a_layer_cannot_do_is_an_error_that_names_it() -> None:
    documents = Documents.from_ids(torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(SpecError, match="fla:unpackable knows no packed documents"):
        _operator("unpackable")(_input(3), context=SequenceContext(documents=documents))
    with pytest.raises(SpecError, match="not from 2 meta tokens"):
        _operator("mamba3")(_input(5), context=SequenceContext(num_meta_tokens=2, documents=documents))
    operator = _operator("shapeshifting")
    state = operator.new_state(batch_size=2, max_tokens=4, device="cpu", dtype=torch.float32)
    with pytest.raises(StateError, match="after 2 tokens"):
        operator(_input(2), state=state, context=SequenceContext(start=0))


def test_without_fla_or_a_gpu_the_error_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = _operator()
    found = backends.BACKENDS["fla"]
    on_cuda = dataclasses.replace(found, devices=frozenset({"cuda"}))
    monkeypatch.setitem(backends.BACKENDS, "fla", on_cuda)  # type: ignore[arg-type]  # a dict behind its Mapping
    with pytest.raises(UnavailableError, match="runs on cuda, not on cpu"):
        operator(_input(2), context=SequenceContext())
    absent = dataclasses.replace(found, package="no_such_package")
    monkeypatch.setitem(backends.BACKENDS, "fla", absent)  # type: ignore[arg-type]  # a dict behind its Mapping
    with pytest.raises(UnavailableError, match=r"hybridnas\[gpu\]"):
        _operator()


def test_costs_are_read_off_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = FlaSpec(layer="tiny", num_heads=2, head_dim=4)
    assert cost.fla_parameters(spec, hidden_size=HIDDEN_SIZE) == 4 * HIDDEN_SIZE**2 + 2
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnavailableError, match="measured by running one token on a GPU"):
        cost.fla_state_bytes(spec, hidden_size=HIDDEN_SIZE, dtype_bytes=2)
    monkeypatch.setattr(cost, "KEYS_BY_VALUES", frozenset({"tiny"}))
    assert cost.fla_state_bytes(spec, hidden_size=HIDDEN_SIZE, dtype_bytes=2) == 2 * 4 * 4 * 4
    assert cost.fla_flops(spec, hidden_size=HIDDEN_SIZE) == 2 * 4 * HIDDEN_SIZE**2 + 4 * 2 * 4 * 4
    assert build_layer(spec, hidden_size=HIDDEN_SIZE, norm_eps=1e-6).layer_idx == 0
