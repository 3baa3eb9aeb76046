"""Mamba2 between its projections: convolution, state space, skip, gated norm.

Shared by the Mamba2 layer and the hybrid head, which project differently.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from operators.backends import BackendChoice
from operators.base import StateRequest
from operators.context import Documents, SequenceContext
from operators.convolution import ShortConvolution
from operators.fla.packing import even_widths
from operators.initialization import draw_step_bias, draw_uniform
from operators.mamba2.chunked import chunked
from operators.mamba2.reference import recurrent
from operators.norms import GatedRMSNorm
from operators.precision import wide, wide_dtype, without_autocast
from operators.recurrence import run
from operators.recurrent_state import RecurrentState
from search_spaces.specs import Mamba2Spec


class Mamba2Mixer(nn.Module):
    """Everything of Mamba2 that is not a projection of the residual stream."""

    def __init__(self, spec: Mamba2Spec, *, norm_eps: float, backends: BackendChoice) -> None:
        super().__init__()
        self.spec = spec
        excluded = even_widths([spec.head_dim, spec.state_size])
        self.backends = replace(backends, excluded={**backends.excluded, **excluded})
        self.group_width = spec.num_groups * spec.state_size
        self.conv = ShortConvolution(spec.inner_size + 2 * self.group_width, width=spec.conv_width, bias=True)
        self.dt_bias = nn.Parameter(torch.empty(spec.num_heads))
        self.A_log = nn.Parameter(torch.empty(spec.num_heads))
        self.D = nn.Parameter(torch.empty(spec.num_heads))
        num_groups = spec.num_groups if spec.grouped_norm else 1
        self.norm = GatedRMSNorm(spec.inner_size, num_groups=num_groups, eps=norm_eps)

    @property
    def widths(self) -> list[int]:
        """Channels of z, of x, B and C together, and of dt that the projection must deliver side by side."""
        return [self.spec.inner_size, self.spec.inner_size + 2 * self.group_width, self.spec.num_heads]

    def inner_matrices(self) -> tuple[Tensor, ...]:
        """Return the convolution."""
        return (self.conv.weight,)

    def initialize(self, *, generator: torch.Generator) -> None:
        """Draw step sizes log-uniform in [0.001, 0.1] and decays uniform in [1, 16], as the paper's code does."""
        self.conv.initialize(generator=generator)
        draw_step_bias(self.dt_bias, generator=generator)
        draw_uniform(self.A_log, generator=generator, low=1.0, high=16.0)
        with torch.no_grad():
            self.A_log.log_()
            self.D.fill_(1.0)

    def make_state(self, request: StateRequest) -> RecurrentState:
        """Return a state of zeros."""
        spec, batch, device = self.spec, request.batch_size, request.device
        history = (batch, self.conv.history_tokens, self.widths[1])
        carried = (batch, spec.num_heads, spec.head_dim, spec.state_size)
        return RecurrentState(
            history=torch.zeros(history, device=device, dtype=request.dtype),
            carried=torch.zeros(carried, device=device, dtype=torch.float32),
        )

    def forward(self, zxbcdt_BTC: Tensor, *, state: RecurrentState | None, context: SequenceContext) -> Tensor:
        """Return the gated and normalised outputs, [B, T, inner]."""
        z_BTC, xbc_BTC, dt_BTH = torch.split(zxbcdt_BTC, self.widths, dim=-1)
        y_BTC = run(self._mix, xbc_BTC, dt_BTH, memory=state, context=context)
        if self._has_fused_parts(self.backends.at("sequence", xbc_BTC)):
            from operators.norms_fla import gated_rms_norm

            return gated_rms_norm(self.norm, y_BTC, z_BTC)
        normalized: Tensor = self.norm(y_BTC, z_BTC)
        return normalized

    def step(self, zxbcdt_BC: Tensor, state: RecurrentState) -> Tensor:
        """Return the gated and normalised output for one token, [B, inner]."""
        z_BC, xbc_BC, dt_BH = torch.split(zxbcdt_BC, self.widths, dim=-1)
        if self.backends.at("step", xbc_BC) == "triton":
            return self._fused_step(z_BC, xbc_BC, dt_BH, state)
        x_BHP, B_BGN, C_BGN = self._split(self.conv.step(xbc_BC, state.history).float())
        step_BH = F.softplus(dt_BH.float() + self.dt_bias.float())
        decay_BH = torch.exp(-self.A_log.float().exp() * step_BH)
        groups = (self.spec.num_groups, -1)
        state_BGRPN = torch.unflatten(state.carried, 1, groups)
        update_BGRP = torch.unflatten(x_BHP * step_BH[..., None], 1, groups)
        state_BGRPN.mul_(torch.unflatten(decay_BH, 1, groups)[..., None, None])
        state_BGRPN.addcmul_(update_BGRP[..., None], B_BGN[:, :, None, None, :])
        with without_autocast(x_BHP):
            y_BHP = (state_BGRPN.flatten(2, 3) @ C_BGN[..., None]).reshape_as(x_BHP)
        y_BC = (y_BHP + self.D.float()[:, None] * x_BHP).flatten(1).to(z_BC.dtype)
        normalized: Tensor = self.norm(y_BC, z_BC)
        return normalized

    def _fused_step(self, z_BC: Tensor, xbc_BC: Tensor, dt_BH: Tensor, state: RecurrentState) -> Tensor:
        from operators.mamba2.kernels import mamba2_step, new_scratch

        groups = {"num_groups": self.spec.num_groups, "num_norm_groups": self.norm.num_groups}
        if state.scratch is None:
            state.scratch = new_scratch(state.carried, **groups)
        assert self.conv.bias is not None
        return mamba2_step(
            z_BC,
            xbc_BC,
            dt_BH,
            conv_weight_CW=self.conv.weight,
            conv_bias_C=self.conv.bias,
            history_BJC=state.history,
            carried_BHPN=state.carried,
            A_log_H=self.A_log,
            D_H=self.D,
            dt_bias_H=self.dt_bias,
            norm_weight_I=self.norm.weight,
            norm_eps=self.norm.eps,
            scratch=state.scratch,
            **groups,
        )

    def _split(self, xbc: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, B, C = torch.split(xbc, [self.spec.inner_size, self.group_width, self.group_width], dim=-1)
        groups = (self.spec.num_groups, self.spec.state_size)
        return (
            torch.unflatten(x, -1, (self.spec.num_heads, -1)),
            torch.unflatten(B, -1, groups),
            torch.unflatten(C, -1, groups),
        )

    def _mix(
        self,
        xbc_BTC: Tensor,
        dt_BTH: Tensor,
        *,
        history: Tensor | None,
        carried: Tensor | None,
        documents: Documents | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return outputs, the convolution's history and the state after the last token."""
        backend = self.backends.at("sequence", xbc_BTC)
        with without_autocast(xbc_BTC):
            if backend in ("mamba_ssm", "fla"):
                return self._mix_by_kernels(
                    backend, xbc_BTC, dt_BTH, history=history, carried=carried, documents=documents
                )
            dtype = wide_dtype(xbc_BTC)
            convolved_BTC, history = self.conv(xbc_BTC, history_BJC=history, documents=documents)
            x_BTHP, B_BTGN, C_BTGN = self._split(convolved_BTC.to(dtype))
            if carried is None:
                carried = x_BTHP.new_zeros(*x_BTHP.shape[:1], *x_BTHP.shape[2:], self.spec.state_size)
            step_BTH = F.softplus(dt_BTH.to(dtype) + self.dt_bias.to(dtype))
            A_H = -self.A_log.to(dtype).exp()
            scan = recurrent if backend == "reference" else chunked
            y_BTHP, carried = scan(
                x_BTHP, step_BTH, A_H, B_BTGN, C_BTGN, state_BHPN=carried.to(dtype), documents=documents
            )
            y_BTHP = y_BTHP + self.D.to(dtype)[:, None] * x_BTHP
            return y_BTHP.flatten(2).to(xbc_BTC.dtype), history, carried

    def _mix_by_kernels(
        self,
        backend: str,
        xbc_BTC: Tensor,
        dt_BTH: Tensor,
        *,
        history: Tensor | None,
        carried: Tensor | None,
        documents: Documents | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Do the same in the kernels of fla or mamba-ssm, which take x, B and C in the model's dtype."""
        if backend == "fla":
            from operators.mamba2.fla import fused
        else:
            from operators.mamba2.mamba_ssm import fused
        if self._has_fused_parts(backend):
            from operators.convolution_fla import convolve

            convolved_BTC, history = convolve(self.conv, xbc_BTC, history_BJC=history, documents=documents)
        else:
            convolved_BTC, history = self.conv(xbc_BTC, history_BJC=history, documents=documents)
        x_BTHP, B_BTGN, C_BTGN = self._split(convolved_BTC.to(xbc_BTC.dtype))
        step_BTH = F.softplus(wide(dt_BTH) + wide(self.dt_bias))
        A_H = -wide(self.A_log).exp()
        y_BTHP, carried = fused(x_BTHP, step_BTH, A_H, B_BTGN, C_BTGN, state_BHPN=carried, documents=documents)
        y_BTHP = y_BTHP + (self.D[:, None] * x_BTHP)
        return y_BTHP.flatten(2).to(xbc_BTC.dtype), history, carried

    def _has_fused_parts(self, backend: str) -> bool:
        """Whether the convolution and the norm beside a backend's scan are fla's."""
        return backend == "fla" or (backend == "mamba_ssm" and "fla" not in self.backends.excluded)
