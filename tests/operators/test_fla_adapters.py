"""Our operators through the calls of fla and mamba-ssm, whose kernels are replaced by slow ones with their conventions.

What is tested is what we hand over and take back: layouts, scales, packing, states. The kernels themselves are compared
with our references in test_gpu_backends.py.
"""

import dataclasses
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from operators import backends
from operators.context import Documents, SequenceContext
from operators.deltanet.layer import unit
from operators.fla.packing import even_widths
from operators.gated_deltanet import fla as gated_delta_rule
from operators.registry import build_operator
from search_spaces.errors import UnavailableError
from search_spaces.specs import DeltaNetSpec, GatedDeltaNetSpec, Mamba1Spec, Mamba2Spec, OperatorSpec

HIDDEN_SIZE = 12
CASES: list[tuple[str, OperatorSpec]] = [
    ("fla", DeltaNetSpec(num_heads=3, head_dim=4)),
    ("fla", DeltaNetSpec(num_heads=2, head_dim=6, conv_width=1, output_gate=True, allow_negative_eigenvalues=True)),
    ("fla", GatedDeltaNetSpec(num_heads=2, head_dim=4, num_value_heads=4, value_head_dim=6)),
    ("fla", Mamba2Spec(num_heads=4, head_dim=4, state_size=6, num_groups=2)),
    ("fla", Mamba2Spec(num_heads=4, head_dim=2, state_size=4, num_groups=2, grouped_norm=False)),
    ("mamba_ssm", Mamba1Spec(inner_size=6, state_size=3, dt_rank=2)),
    ("mamba_ssm", Mamba1Spec(inner_size=5, state_size=4, dt_rank=3, conv_width=2, inner_norms=True)),
    ("mamba_ssm", Mamba2Spec(num_heads=4, head_dim=4, state_size=6, num_groups=2)),
]


def _sequences(
    run: Callable[..., tuple[Tensor, Tensor]],
    streams: tuple[Tensor, ...],
    initial: Tensor | None,
    zeros: Tensor,
    cu_seqlens: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return outputs and last states of a recurrence over rows, or over the sequences of one row."""
    if cu_seqlens is None:
        return run(*streams, zeros.expand(len(streams[0]), *zeros.shape) if initial is None else initial)
    assert len(streams[0]) == 1
    assert initial is None or len(initial) == len(cu_seqlens) - 1
    outputs, states = [], []
    for index, (start, end) in enumerate(zip(cu_seqlens[:-1].tolist(), cu_seqlens[1:].tolist(), strict=True)):
        part = tuple(x[:, start:end] for x in streams)
        y, state = run(*part, zeros[None] if initial is None else initial[index : index + 1])
        outputs.append(y)
        states.append(state)
    return torch.cat(outputs, 1), torch.cat(states)


def _linear_attention(
    q_BTHK: Tensor, k_BTHK: Tensor, v_BTHV: Tensor, g_BTH: Tensor, beta_BTH: Tensor | None, state_BHKV: Tensor
) -> tuple[Tensor, Tensor]:
    outputs = []
    for t in range(q_BTHK.shape[1]):
        state_BHKV = state_BHKV * g_BTH[:, t, :, None, None].exp()
        v_BHV = v_BTHV[:, t]
        if beta_BTH is not None:
            recalled = torch.einsum("bhkv,bhk->bhv", state_BHKV, k_BTHK[:, t])
            v_BHV = beta_BTH[:, t, :, None] * (v_BHV - recalled)
        state_BHKV = state_BHKV + torch.einsum("bhk,bhv->bhkv", k_BTHK[:, t], v_BHV)
        outputs.append(torch.einsum("bhkv,bhk->bhv", state_BHKV, q_BTHK[:, t]))
    return torch.stack(outputs, 1), state_BHKV


def chunk_gated_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    beta: Tensor,
    *,
    scale: float,
    initial_state: Tensor | None,
    output_final_state: bool,
    use_qk_l2norm_in_kernel: bool,
    cu_seqlens: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    assert output_final_state
    assert use_qk_l2norm_in_kernel
    q, k = (unit(x).repeat_interleave(v.shape[2] // x.shape[2], dim=2) for x in (q, k))
    zeros = v.new_zeros(v.shape[2], k.shape[3], v.shape[3])
    return _sequences(_linear_attention, (scale * q, k, v, g, beta), initial_state, zeros, cu_seqlens)


def chunk_delta_rule(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    return chunk_gated_delta_rule(q, k, v, torch.zeros_like(beta), beta, **options)


def chunk_simple_gla(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    *,
    scale: float,
    initial_state: Tensor | None,
    output_final_state: bool,
    cu_seqlens: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    assert output_final_state
    assert q.shape == k.shape

    def run(q: Tensor, k: Tensor, v: Tensor, g: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return _linear_attention(scale * q, k, v, g, None, state)

    return _sequences(run, (q, k, v, g), initial_state, v.new_zeros(v.shape[2], k.shape[3], v.shape[3]), cu_seqlens)


def mamba_chunk_scan_combined(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    *,
    chunk_size: int,
    initial_states: Tensor | None,
    return_final_states: bool,
    seq_idx: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    assert chunk_size & (chunk_size - 1) == 0
    assert return_final_states
    B, C = (y.repeat_interleave(x.shape[2] // y.shape[2], dim=2) for y in (B, C))
    state = x.new_zeros(x.shape[0], x.shape[2], C.shape[3], x.shape[3])
    if initial_states is not None:
        assert initial_states.shape == (x.shape[0], x.shape[2], x.shape[3], C.shape[3])
        state = initial_states.mT
    outputs, before = [], torch.zeros(x.shape[0], dtype=torch.int32)
    for t in range(x.shape[1]):
        if seq_idx is not None:
            assert seq_idx.dtype == torch.int32
            state = state * (seq_idx[:, t] == before)[:, None, None, None]
            before = seq_idx[:, t]
        one = slice(t, t + 1)
        y, state = _linear_attention(C[:, one], B[:, one], x[:, one] * dt[:, one, :, None], dt[:, one] * A, None, state)
        outputs.append(y)
    return torch.cat(outputs, 1), state.mT


def selective_scan_fn(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Run one row at a time from zeros; u and delta are [B, I, T], B and C [B, N, T]."""
    state, outputs = torch.zeros(len(u), *A.shape, dtype=u.dtype), []
    for t in range(u.shape[2]):
        decay = (delta[:, :, t, None] * A).exp()
        state = decay * state + (delta[:, :, t] * u[:, :, t])[..., None] * B[:, None, :, t]
        outputs.append((state * C[:, None, :, t]).sum(-1))
    return torch.stack(outputs, 2)


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    initial_state: Tensor | None,
    activation: str,
    cu_seqlens: Tensor | None = None,
) -> tuple[Tensor, None]:
    assert activation == "silu"
    channels, width = weight.shape
    # What lies before the last width - 1 inputs is never read: poison.
    poison = torch.tensor([float("nan")] + [0.0] * (width - 1)).expand(channels, width)

    def run(x: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
        assert initial.shape[1:] == (channels, width)
        padded = torch.cat((initial[:, :, 1:], x.mT), dim=2)
        return F.silu(F.conv1d(padded, weight[:, None], bias, groups=channels)).mT, initial

    return _sequences(run, (x,), initial_state, poison, cu_seqlens)[0], None


def rmsnorm_fn(
    x: Tensor, weight: Tensor, bias: None, *, z: Tensor, eps: float, group_size: int, norm_before_gate: bool
) -> Tensor:
    assert not norm_before_gate
    gated = torch.unflatten(x * F.silu(z), -1, (-1, group_size))
    return F.rms_norm(gated, (group_size,), eps=eps).flatten(-2) * weight


STAND_INS = {
    "fla.ops.delta_rule": chunk_delta_rule,
    "fla.ops.gated_delta_rule": chunk_gated_delta_rule,
    "fla.ops.simple_gla": chunk_simple_gla,
    "fla.modules.convolution": causal_conv1d,
    "fla.modules.layernorm_gated": rmsnorm_fn,
    "mamba_ssm.ops.selective_scan_interface": selective_scan_fn,
    "mamba_ssm.ops.triton.ssd_combined": mamba_chunk_scan_combined,
}


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make slow kernels importable under the names of the real packages, on a CPU in any dtype."""
    for path, kernel in STAND_INS.items():
        parts = path.split(".")
        for depth in range(1, len(parts) + 1):
            name = ".".join(parts[:depth])
            if not isinstance(sys.modules.get(name), _StandIn):
                monkeypatch.setitem(sys.modules, name, _StandIn(name))
        setattr(sys.modules[path], kernel.__name__, kernel)
    for name in ("fla", "mamba_ssm"):
        anywhere = dataclasses.replace(
            backends.BACKENDS[name], devices=None, dtypes=frozenset({"float64", "float32", "bfloat16"})
        )
        monkeypatch.setitem(backends.BACKENDS, name, anywhere)  # type: ignore[arg-type]  # a dict behind its Mapping


class _StandIn(ModuleType):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)
        self.__path__: list[str] = []


def _pair(backend: str, spec: OperatorSpec) -> tuple[Any, Any]:
    """Return an operator of a backend and the reference, equal weights, in float64."""
    fused, reference = (
        build_operator(spec, hidden_size=HIDDEN_SIZE, norm_eps=1e-6, backend=name).double()
        for name in (backend, "reference")
    )
    assert fused.backend_at("sequence", torch.zeros(1, dtype=torch.float64)) == backend
    return fused, reference


def _documents(tokens: int) -> Documents:
    index_T = torch.arange(tokens)
    return Documents.from_ids(torch.stack((index_T // 4, index_T // 7)))


@pytest.mark.parametrize(("backend", "spec"), CASES)
@pytest.mark.parametrize(
    ("tokens", "num_meta", "is_packed"), [(1, 0, False), (2, 0, False), (17, 0, False), (16, 0, True), (15, 3, True)]
)
def test_outputs_and_every_gradient_are_those_of_the_reference(
    backend: str,
    spec: OperatorSpec,
    tokens: int,
    num_meta: int,
    is_packed: bool,
    assert_close: Callable[..., None],
) -> None:
    x_BTD = torch.randn(2, num_meta + tokens, HIDDEN_SIZE, generator=torch.Generator().manual_seed(0)).double()
    weights = torch.randn(x_BTD.shape, generator=torch.Generator().manual_seed(1)).double()
    found = []
    for operator in _pair(backend, spec):
        documents = _documents(tokens) if is_packed else None
        x = x_BTD.clone().requires_grad_()
        y = operator(x, context=SequenceContext(num_meta_tokens=num_meta, documents=documents, start=0))
        grads = torch.autograd.grad((y * weights).sum(), (x, *operator.parameters()))
        found.append(dict(zip(("output", "x", *dict(operator.named_parameters())), (y, *grads), strict=True)))
    for name, expected in found[1].items():
        # Our references recur in float64 here; the float32 of fla's states does not enter.
        assert_close(found[0][name], expected, what=name)


@pytest.mark.parametrize(("backend", "spec"), CASES)
def test_a_sequence_in_chunks_is_the_sequence(
    backend: str, spec: OperatorSpec, assert_close: Callable[..., None]
) -> None:
    fused, reference = _pair(backend, spec)
    x_BTD = torch.randn(2, 14, HIDDEN_SIZE, generator=torch.Generator().manual_seed(0)).double()
    expected = reference(x_BTD, context=SequenceContext(start=0))
    states = [
        operator.new_state(batch_size=2, max_tokens=16, device="cpu", dtype=torch.float64)
        for operator in (fused, reference)
    ]
    addresses = [tensor.data_ptr() for tensor in states[0].tensors()]
    with torch.no_grad():
        chunks = [fused(x, state=states[0], context=SequenceContext(start=0)) for x in x_BTD.split((1, 2, 7, 4), dim=1)]
        reference(x_BTD, state=states[1], context=SequenceContext(start=0))
    assert_close(torch.cat(chunks, 1), expected)
    assert [tensor.data_ptr() for tensor in states[0].tensors()] == addresses
    for mine, theirs in zip(states[0].tensors(), states[1].tensors(), strict=True):
        if mine.numel():
            assert_close(mine, theirs, what="state")


@pytest.mark.parametrize("is_packed", [False, True])
def test_the_gated_delta_rule_shares_queries_and_keys_among_heads_of_values(
    is_packed: bool, assert_close: Callable[..., None]
) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 2, 15, 2, 4, generator=generator)
    v = torch.randn(2, 15, 6, 5, generator=generator)
    decay, beta = -torch.rand(2, 15, 6, generator=generator), torch.rand(2, 15, 6, generator=generator)
    state = torch.randn(2, 6, 4, 5, generator=generator)
    documents = _documents(15) if is_packed else None
    y, last = gated_delta_rule.fused(q, k, v, decay, beta, state_BHKV=state, documents=documents)

    q_BTHK, k_BTHK = (unit(x).repeat_interleave(3, dim=2) for x in (q, k))
    for row in range(2):
        now = state[row]
        for t in range(15):
            if documents is not None and documents.offset[row, t] == 0:
                now = state[row]
            now = now * decay[row, t].exp()[:, None, None]
            error = beta[row, t, :, None] * (v[row, t] - torch.einsum("hkv,hk->hv", now, k_BTHK[row, t]))
            now = now + k_BTHK[row, t, :, :, None] * error[:, None]
            assert_close(y[row, t], torch.einsum("hkv,hk->hv", now, q_BTHK[row, t]) / 2, what=f"token {t}")
        assert_close(last[row], now, what="state")


def test_widths_that_the_kernels_cannot_do_are_left_to_auto_and_refused_by_name() -> None:
    spec = DeltaNetSpec(num_heads=2, head_dim=5)
    operator = build_operator(spec, hidden_size=HIDDEN_SIZE, norm_eps=1e-6)
    assert operator.backend_at("sequence", torch.zeros(1)) == "chunked"
    with pytest.raises(UnavailableError, match="even head widths of at most 256; got 5"):
        build_operator(spec, hidden_size=HIDDEN_SIZE, norm_eps=1e-6, backend="fla")
    assert even_widths([256], largest=256) == {}
    assert "258" in even_widths([256, 258], largest=256)["fla"]


def test_without_fla_the_convolution_and_the_norm_beside_mamba_ssm_are_ours(
    monkeypatch: pytest.MonkeyPatch, assert_close: Callable[..., None]
) -> None:
    absent = dataclasses.replace(backends.BACKENDS["fla"], package="no_such_package")
    monkeypatch.setitem(backends.BACKENDS, "fla", absent)  # type: ignore[arg-type]  # a dict behind its Mapping
    monkeypatch.delattr(sys.modules["fla.modules.convolution"], "causal_conv1d")
    fused, reference = _pair("mamba_ssm", CASES[-1][1])
    x_BTD = torch.randn(2, 9, HIDDEN_SIZE, generator=torch.Generator().manual_seed(0)).double()
    context = SequenceContext(start=0)
    assert_close(fused(x_BTD, context=context), reference(x_BTD, context=context))
