"""The DeltaNet operator: projections, short convolutions, the delta rule, a norm per head, optionally a gate."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from operators.base import StateRequest
from operators.context import Documents, SequenceContext
from operators.convolution import ShortConvolution
from operators.deltanet.chunked import chunked
from operators.deltanet.memory import gated_norm, unit, write_and_read_, write_strength
from operators.deltanet.reference import recurrent
from operators.fla.packing import even_widths
from operators.norms import RMSNorm
from operators.precision import wide_dtype, without_autocast
from operators.projected import ProjectedOperator
from operators.recurrence import run
from operators.recurrent_state import RecurrentState
from search_spaces.specs import DeltaNetSpec


@final
class DeltaNet(ProjectedOperator[RecurrentState]):
    """Linear attention with the delta rule."""

    sequence_backends: ClassVar[tuple[str, ...]] = ("fla", "chunked", "reference")
    step_backends: ClassVar[tuple[str, ...]] = ("triton", "reference")

    def __init__(self, spec: DeltaNetSpec, *, hidden_size: int, norm_eps: float, backend: str) -> None:
        super().__init__()
        self.spec = spec
        self.backends = self.choose(backend, excluded=even_widths([spec.head_dim], largest=256))
        inner = spec.num_heads * spec.head_dim
        self.widths = [3 * inner, spec.num_heads, *([inner] if spec.output_gate else [])]
        self.in_projection = nn.Linear(hidden_size, sum(self.widths), bias=False)
        self.conv = ShortConvolution(3 * inner, width=spec.conv_width, bias=False)
        self.norm = RMSNorm(spec.head_dim, eps=norm_eps)
        self.output = nn.Linear(inner, hidden_size, bias=False)

    def mix(self, streams_BTC: Tensor, *, state: RecurrentState | None, context: SequenceContext) -> Tensor:
        """Return the normed heads' outputs for a chunk."""
        qkv_BTC, beta_BTH, *gate = torch.split(streams_BTC, self.widths, dim=-1)
        y_BTHV = run(self._remember, qkv_BTC, beta_BTH, memory=state, context=context)
        return gated_norm(y_BTHV, gate, norm=self.norm)

    def mix_step(self, streams_BC: Tensor, state: RecurrentState) -> Tensor:
        """Return the normed heads' outputs for one token."""
        qkv_BC, beta_BH, *gate = torch.split(streams_BC, self.widths, dim=-1)
        if self.backends.at("step", qkv_BC) == "triton":
            return self._fused_step(qkv_BC, beta_BH, gate, state)
        heads = self._heads(self.conv.step(qkv_BC, state.history).float())
        y_BHV = write_and_read_(state.carried, *heads, self._write_strength(beta_BH))
        return gated_norm(y_BHV.to(qkv_BC.dtype), gate, norm=self.norm)

    def make_state(self, request: StateRequest) -> RecurrentState:
        """Return a state of zeros; it has one size for any number of tokens."""
        batch, device = request.batch_size, request.device
        heads, width, history = self.spec.num_heads, self.spec.head_dim, self.conv.history_tokens
        return RecurrentState(
            history=torch.zeros(batch, history, self.widths[0], device=device, dtype=request.dtype),
            carried=torch.zeros(batch, heads, width, width, device=device, dtype=torch.float32),
        )

    def inner_matrices(self) -> tuple[Tensor, ...]:
        """Return the convolutions."""
        return (self.conv.weight,)

    def initialize_inner(self, *, generator: torch.Generator) -> None:
        """Draw the convolutions; β starts around its middle by itself."""
        self.conv.initialize(generator=generator)

    def _remember(
        self,
        qkv_BTC: Tensor,
        beta_BTH: Tensor,
        *,
        history: Tensor | None,
        carried: Tensor | None,
        documents: Documents | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return outputs, the convolutions' history and the memory after the last token."""
        backend = self.backends.at("sequence", qkv_BTC)
        with without_autocast(qkv_BTC):
            if backend == "fla":
                return self._remember_by_fla(qkv_BTC, beta_BTH, history=history, carried=carried, documents=documents)
            dtype = wide_dtype(qkv_BTC)
            convolved_BTC, history = self.conv(qkv_BTC, history_BJC=history, documents=documents)
            heads = self._heads(convolved_BTC.to(dtype))
            if carried is None:
                carried = heads[0].new_zeros(
                    qkv_BTC.shape[0], self.spec.num_heads, self.spec.head_dim, self.spec.head_dim
                )
            strength = self._write_strength(beta_BTH.to(dtype))
            scan = recurrent if backend == "reference" else chunked
            y_BTHV, carried = scan(*heads, strength, state_BHKV=carried.to(dtype), documents=documents)
            return y_BTHV.to(qkv_BTC.dtype), history, carried

    def _remember_by_fla(
        self,
        qkv_BTC: Tensor,
        beta_BTH: Tensor,
        *,
        history: Tensor | None,
        carried: Tensor | None,
        documents: Documents | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Do the same in fla's kernels, which take q, k and v in the model's dtype and normalise them."""
        from operators.convolution_fla import convolve
        from operators.deltanet.fla import fused

        qkv_BTC, history = convolve(self.conv, qkv_BTC, history_BJC=history, documents=documents)
        q_BTHK, k_BTHK, v_BTHV = torch.unflatten(qkv_BTC, -1, (3, self.spec.num_heads, self.spec.head_dim)).unbind(-3)
        y_BTHV, carried = fused(
            q_BTHK, k_BTHK, v_BTHV, self._write_strength(beta_BTH), state_BHKV=carried, documents=documents
        )
        return y_BTHV, history, carried

    def _fused_step(self, qkv_BC: Tensor, beta_BH: Tensor, gate: list[Tensor], state: RecurrentState) -> Tensor:
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
        )

    def _heads(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = torch.unflatten(qkv, -1, (3, self.spec.num_heads, self.spec.head_dim)).unbind(-3)
        return unit(q) * self.spec.head_dim**-0.5, unit(k), v

    def _write_strength(self, beta: Tensor) -> Tensor:
        return write_strength(beta, allow_negative_eigenvalues=self.spec.allow_negative_eigenvalues)
