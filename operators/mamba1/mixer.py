"""Mamba-1 between its outer projections: convolution, selection, state space, skip, gate.

Shared by the Mamba-1 layer and the hybrid head, which project differently.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from operators.backends import BACKENDS, BackendChoice
from operators.base import StateRequest
from operators.context import Documents, SequenceContext
from operators.convolution import ShortConvolution
from operators.initialization import draw_reading, draw_step_bias, draw_uniform
from operators.mamba1.reference import recurrent
from operators.mamba1.scan import scanned
from operators.norms import RMSNorm
from operators.precision import wide, wide_dtype, without_autocast
from operators.recurrence import run
from operators.recurrent_state import RecurrentState
from search_spaces.specs import Mamba1Spec


class Mamba1Mixer(nn.Module):
    """Everything of Mamba-1 that is not a projection of the residual stream."""

    def __init__(self, spec: Mamba1Spec, *, norm_eps: float, backends: BackendChoice) -> None:
        super().__init__()
        self.spec = spec
        self.backends = backends
        self.conv = ShortConvolution(spec.inner_size, width=spec.conv_width, bias=True)
        self.has_fused_convolution = BACKENDS["fla"].missing_package() is None
        self.selection_widths = [spec.dt_rank, spec.state_size, spec.state_size]
        self.selection = nn.Linear(spec.inner_size, sum(self.selection_widths), bias=False)
        self.selection_norms = (
            nn.ModuleList(RMSNorm(width, eps=norm_eps) for width in self.selection_widths) if spec.inner_norms else None
        )
        self.dt = nn.Linear(spec.dt_rank, spec.inner_size, bias=True)
        self.A_log = nn.Parameter(torch.empty(spec.inner_size, spec.state_size))
        self.D = nn.Parameter(torch.empty(spec.inner_size))

    @property
    def widths(self) -> list[int]:
        """Channels of x and of z that the projection must deliver side by side."""
        return [self.spec.inner_size, self.spec.inner_size]

    def inner_matrices(self) -> tuple[Tensor, ...]:
        """Return the convolution, the selection, the step sizes' projection and the decays."""
        return self.conv.weight, self.selection.weight, self.dt.weight, self.A_log

    def initialize(self, *, generator: torch.Generator) -> None:
        """Draw step sizes log-uniform in [0.001, 0.1]; decays of a channel are 1 to N, as in the paper's code."""
        self.conv.initialize(generator=generator)
        draw_reading(self.selection, generator=generator)
        bound = self.spec.dt_rank**-0.5
        draw_uniform(self.dt.weight, generator=generator, low=-bound, high=bound)
        draw_step_bias(self.dt.bias, generator=generator)
        with torch.no_grad():
            self.A_log.copy_(torch.arange(1, self.spec.state_size + 1, device=self.A_log.device).log())
            self.D.fill_(1.0)

    def make_state(self, request: StateRequest) -> RecurrentState:
        """Return a state of zeros."""
        spec, batch, device = self.spec, request.batch_size, request.device
        history = (batch, self.conv.history_tokens, spec.inner_size)
        return RecurrentState(
            history=torch.zeros(history, device=device, dtype=request.dtype),
            carried=torch.zeros(batch, spec.inner_size, spec.state_size, device=device, dtype=torch.float32),
        )

    def forward(self, xz_BTC: Tensor, *, state: RecurrentState | None, context: SequenceContext) -> Tensor:
        """Return the gated outputs, [B, T, I]."""
        x_BTI, z_BTI = torch.split(xz_BTC, self.widths, dim=-1)
        return run(self._mix, x_BTI, memory=state, context=context) * F.silu(z_BTI)

    def step(self, xz_BC: Tensor, state: RecurrentState) -> Tensor:
        """Return the gated output for one token, [B, I]."""
        x_BI, z_BI = torch.split(xz_BC, self.widths, dim=-1)
        dtype = x_BI.dtype
        x_BI = self.conv.step(x_BI, state.history)
        dt_BI, B_BN, C_BN = (part.float() for part in self._select(x_BI.to(dtype)))
        x_BI = x_BI.float()
        decay_BIN = torch.exp(dt_BI[..., None] * -self.A_log.float().exp())
        state.carried.mul_(decay_BIN).addcmul_((dt_BI * x_BI)[..., None], B_BN[:, None])
        with without_autocast(x_BI):
            y_BI = (state.carried @ C_BN[..., None]).squeeze(-1) + self.D.float() * x_BI
        return y_BI.to(dtype) * F.silu(z_BI)

    def _select(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return step sizes, B and C for convolved inputs, in float32 or wider."""
        parts = torch.split(self.selection(x), self.selection_widths, dim=-1)
        if self.selection_norms is not None:
            parts = tuple(norm(part) for norm, part in zip(self.selection_norms, parts, strict=True))
        # Without the bias: it belongs to the softplus, which runs in the wide dtype.
        dtype = wide_dtype(parts[0])
        dt = F.linear(parts[0], self.dt.weight).to(dtype) + self.dt.bias.to(dtype)
        return F.softplus(dt), wide(parts[1]), wide(parts[2])

    def _mix(
        self, x_BTI: Tensor, *, history: Tensor | None, carried: Tensor | None, documents: Documents | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return outputs, the convolution's history and the state after the last token."""
        backend = self.backends.at("sequence", x_BTI)
        with without_autocast(x_BTI):
            if backend == "mamba_ssm" and self.has_fused_convolution:
                from operators.convolution_fla import convolve

                convolved_BTI, history = convolve(self.conv, x_BTI, history_BJC=history, documents=documents)
                convolved_BTI = wide(convolved_BTI)
            else:
                convolved_BTI, history = self.conv(x_BTI, history_BJC=history, documents=documents)
        selection = self._select(convolved_BTI.to(x_BTI.dtype))
        with without_autocast(x_BTI):
            dtype = convolved_BTI.dtype
            dt_BTI, B_BTN, C_BTN = (part.to(dtype) for part in selection)
            A_IN = -self.A_log.to(dtype).exp()
            if backend == "mamba_ssm":
                from operators.mamba1.mamba_ssm import fused

                y_BTI, carried = fused(
                    convolved_BTI, dt_BTI, A_IN, B_BTN, C_BTN, state_BIN=carried, documents=documents
                )
            else:
                if carried is None:
                    carried = convolved_BTI.new_zeros(x_BTI.shape[0], self.spec.inner_size, self.spec.state_size)
                scan = recurrent if backend == "reference" else scanned
                y_BTI, carried = scan(
                    convolved_BTI, dt_BTI, A_IN, B_BTN, C_BTN, state_BIN=carried.to(dtype), documents=documents
                )
            y_BTI = y_BTI + self.D.to(dtype) * convolved_BTI
            return y_BTI.to(x_BTI.dtype), history, carried
