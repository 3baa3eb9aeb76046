"""The gated DeltaNet operator: DeltaNet whose memory decays; values may have more and wider heads than keys."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from operators.base import StateRequest
from operators.context import Documents, SequenceContext
from operators.convolution import ShortConvolution
from operators.deltanet.chunked import chunked
from operators.deltanet.memory import gated_norm, unit, write_and_read_, write_strength
from operators.deltanet.reference import recurrent
from operators.fla.packing import even_widths
from operators.initialization import draw_step_bias, draw_uniform
from operators.norms import RMSNorm
from operators.precision import wide, wide_dtype, without_autocast
from operators.projected import ProjectedOperator
from operators.recurrence import run
from operators.recurrent_state import RecurrentState
from search_spaces.specs import GatedDeltaNetSpec


@final
class GatedDeltaNet(ProjectedOperator[RecurrentState]):
    """Linear attention with the gated delta rule."""

    sequence_backends: ClassVar[tuple[str, ...]] = ("fla", "chunked", "reference")
    step_backends: ClassVar[tuple[str, ...]] = ("triton", "reference")

    def __init__(self, spec: GatedDeltaNetSpec, *, hidden_size: int, norm_eps: float, backend: str) -> None:
        super().__init__()
        self.spec = spec
        self.backends = self.choose(backend, excluded=even_widths([spec.head_dim, spec.value_dim], largest=256))
        heads = spec.value_heads
        self.stream_widths = [spec.key_size, spec.key_size, spec.inner_size]
        self.widths = [sum(self.stream_widths), heads, heads, *([spec.inner_size] if spec.output_gate else [])]
        self.in_projection = nn.Linear(hidden_size, sum(self.widths), bias=False)
        self.conv = ShortConvolution(self.widths[0], width=spec.conv_width, bias=False)
        self.A_log = nn.Parameter(torch.empty(heads))
        self.dt_bias = nn.Parameter(torch.empty(heads))
        self.norm = RMSNorm(spec.value_dim, eps=norm_eps)
        self.output = nn.Linear(spec.inner_size, hidden_size, bias=False)

    def mix(self, streams_BTC: Tensor, *, state: RecurrentState | None, context: SequenceContext) -> Tensor:
        """Return the normed heads' outputs for a chunk."""
        qkv_BTC, beta_BTH, dt_BTH, *gate = torch.split(streams_BTC, self.widths, dim=-1)
        y_BTHV = run(self._remember, qkv_BTC, beta_BTH, dt_BTH, memory=state, context=context)
        return gated_norm(y_BTHV, gate, norm=self.norm)

    def mix_step(self, streams_BC: Tensor, state: RecurrentState) -> Tensor:
        """Return the normed heads' outputs for one token."""
        qkv_BC, beta_BH, dt_BH, *gate = torch.split(streams_BC, self.widths, dim=-1)
        if self.backends.at("step", qkv_BC) == "triton":
            return self._fused_step(qkv_BC, beta_BH, dt_BH, gate, state)
        q_BGK, k_BGK, v_BHV = self._heads(self.conv.step(qkv_BC, state.history).float())
        y_BHV = write_and_read_(
            state.carried,
            self._for_values(unit(q_BGK) * self.spec.head_dim**-0.5),
            self._for_values(unit(k_BGK)),
            v_BHV,
            self._write_strength(beta_BH),
            decay_BH=self._log_decay(dt_BH).exp(),
        )
        return gated_norm(y_BHV.to(qkv_BC.dtype), gate, norm=self.norm)

    def make_state(self, request: StateRequest) -> RecurrentState:
        """Return a state of zeros; it has one size for any number of tokens."""
        spec, batch, device = self.spec, request.batch_size, request.device
        history = (batch, self.conv.history_tokens, self.widths[0])
        carried = (batch, spec.value_heads, spec.head_dim, spec.value_dim)
        return RecurrentState(
            history=torch.zeros(history, device=device, dtype=request.dtype),
            carried=torch.zeros(carried, device=device, dtype=torch.float32),
        )

    def inner_matrices(self) -> tuple[Tensor, ...]:
        """Return the convolutions."""
        return (self.conv.weight,)

    def initialize_inner(self, *, generator: torch.Generator) -> None:
        """Draw convolutions and decays; these as in Mamba2, so that a memory starts out lasting 1 to 1000 tokens."""
        self.conv.initialize(generator=generator)
        draw_step_bias(self.dt_bias, generator=generator)
        draw_uniform(self.A_log, generator=generator, low=1.0, high=16.0)
        with torch.no_grad():
            self.A_log.log_()

    def _remember(
        self,
        qkv_BTC: Tensor,
        beta_BTH: Tensor,
        dt_BTH: Tensor,
        *,
        history: Tensor | None,
        carried: Tensor | None,
        documents: Documents | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return outputs, the convolutions' history and the memory after the last token."""
        backend = self.backends.at("sequence", qkv_BTC)
        strength_BTH, log_decay_BTH = self._write_strength(beta_BTH), self._log_decay(dt_BTH)
        with without_autocast(qkv_BTC):
            if backend == "fla":
                from operators.convolution_fla import convolve
                from operators.gated_deltanet.fla import fused

                convolved_BTC, history = convolve(self.conv, qkv_BTC, history_BJC=history, documents=documents)
                y_BTHV, carried = fused(
                    *self._heads(convolved_BTC), log_decay_BTH, strength_BTH, state_BHKV=carried, documents=documents
                )
                return y_BTHV, history, carried
            dtype = wide_dtype(qkv_BTC)
            convolved_BTC, history = self.conv(qkv_BTC, history_BJC=history, documents=documents)
            q_BTGK, k_BTGK, v_BTHV = self._heads(convolved_BTC.to(dtype))
            if carried is None:
                carried = v_BTHV.new_zeros(
                    qkv_BTC.shape[0], self.spec.value_heads, self.spec.head_dim, self.spec.value_dim
                )
            scan = recurrent if backend == "reference" else chunked
            y_BTHV, carried = scan(
                self._for_values(unit(q_BTGK) * self.spec.head_dim**-0.5),
                self._for_values(unit(k_BTGK)),
                v_BTHV,
                strength_BTH,
                log_decay_BTH=log_decay_BTH,
                state_BHKV=carried.to(dtype),
                documents=documents,
            )
            return y_BTHV.to(qkv_BTC.dtype), history, carried

    def _fused_step(
        self, qkv_BC: Tensor, beta_BH: Tensor, dt_BH: Tensor, gate: list[Tensor], state: RecurrentState
    ) -> Tensor:
        from operators.deltanet.kernels import delta_step, new_scratch

        heads = self.spec.num_heads
        if state.scratch is None:
            state.scratch = new_scratch(state.carried, num_key_heads=heads)
        return delta_step(
            qkv_BC,
            beta_BH,
            conv_weight_CW=self.conv.weight,
            history_BJC=state.history,
            carried_BHKV=state.carried,
            norm_weight_V=self.norm.weight,
            norm_eps=self.norm.eps,
            num_key_heads=heads,
            allow_negative_eigenvalues=self.spec.allow_negative_eigenvalues,
            scratch=state.scratch,
            gate_BI=gate[0] if gate else None,
            decay=(dt_BH, self.A_log, self.dt_bias),
        )

    def _heads(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = torch.split(qkv, self.stream_widths, dim=-1)
        keys, values = (self.spec.num_heads, self.spec.head_dim), (self.spec.value_heads, self.spec.value_dim)
        return torch.unflatten(q, -1, keys), torch.unflatten(k, -1, keys), torch.unflatten(v, -1, values)

    def _for_values(self, x_GK: Tensor) -> Tensor:
        """Repeat heads of queries or keys for the heads of values that share them."""
        times = self.spec.value_heads // self.spec.num_heads
        return x_GK if times == 1 else x_GK.repeat_interleave(times, dim=-2)

    def _log_decay(self, dt: Tensor) -> Tensor:
        return -wide(self.A_log).exp() * F.softplus(wide(dt) + wide(self.dt_bias))

    def _write_strength(self, beta: Tensor) -> Tensor:
        return write_strength(beta, allow_negative_eigenvalues=self.spec.allow_negative_eigenvalues)
