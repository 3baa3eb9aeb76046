"""Mamba-1 and Mamba2 between their projections. Part of the exported file; see `../merging.py`."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.export.hf.code.cache import Memory
from nas.export.hf.code.call import Call, kernel, wide
from nas.export.hf.code.configuration import Spec
from nas.export.hf.code.parts import GatedRMSNorm, RMSNorm, ShortConvolution
from nas.export.hf.code.scans import selective_scan, state_space_duality

KERNEL_CHUNK_TOKENS = 256


class Mamba1Mixer(nn.Module):
    """Selective state space with one step size a channel."""

    def __init__(self, spec: Spec, *, eps: float) -> None:
        super().__init__()
        inner, state, rank = spec["inner_size"], spec["state_size"], spec["dt_rank"]
        self.widths = [inner, inner]
        self.conv = ShortConvolution(inner, spec["conv_width"], bias=True)
        self.selection_widths = [rank, state, state]
        self.selection = nn.Linear(inner, sum(self.selection_widths), bias=False)
        norms = spec["inner_norms"]
        self.selection_norms = nn.ModuleList(RMSNorm(w, eps) for w in self.selection_widths) if norms else None
        self.dt = nn.Linear(rank, inner, bias=True)
        self.A_log = nn.Parameter(torch.empty(inner, state))
        self.D = nn.Parameter(torch.empty(inner))

    def forward(self, streams_BTC: Tensor, memory: Memory | None, call: Call) -> Tensor:
        """Return the gated outputs."""
        x_BTC, z_BTC = streams_BTC.split(self.widths, dim=-1)
        u_BTC = self.conv(x_BTC, memory, call)
        parts = list(self.selection(u_BTC.to(x_BTC.dtype)).split(self.selection_widths, dim=-1))
        if self.selection_norms is not None:
            parts = [norm(part) for norm, part in zip(self.selection_norms, parts, strict=True)]
        dt_BTC = F.softplus(wide(F.linear(parts[0], self.dt.weight)) + wide(self.dt.bias))
        dt_BTC, A_CN = call.without_padding(dt_BTC), -wide(self.A_log).exp()
        B_BTN, C_BTN = wide(parts[1]), wide(parts[2])
        state_BCN = None if memory is None else memory.get("carried")
        scan = kernel("mamba_ssm.ops.selective_scan_interface", "selective_scan_fn")
        if scan is not None and call.runs_kernels(x_BTC) and state_BCN is None:
            y_BCT, state_BCN = scan(u_BTC.mT, dt_BTC.mT, A_CN, B_BTN.mT, C_BTN.mT, return_last_state=True)
            y_BTC = y_BCT.mT
        else:
            y_BTC, state_BCN = selective_scan(u_BTC, dt_BTC, A_CN, B_BTN, C_BTN, state_BCN)
        if memory is not None:
            memory["carried"] = state_BCN
        return (y_BTC + wide(self.D) * u_BTC).to(x_BTC.dtype) * F.silu(z_BTC)


class Mamba2Mixer(nn.Module):
    """State-space duality with one decay a head."""

    def __init__(self, spec: Spec, *, eps: float) -> None:
        super().__init__()
        self.heads, self.groups = spec["num_heads"], spec["num_groups"]
        inner, group = self.heads * spec["head_dim"], self.groups * spec["state_size"]
        self.widths = [inner, inner + 2 * group, self.heads]
        self.parts = [inner, group, group]
        self.conv = ShortConvolution(self.widths[1], spec["conv_width"], bias=True)
        self.dt_bias = nn.Parameter(torch.empty(self.heads))
        self.A_log = nn.Parameter(torch.empty(self.heads))
        self.D = nn.Parameter(torch.empty(self.heads))
        self.norm = GatedRMSNorm(inner, eps, self.groups if spec["grouped_norm"] else 1)

    def forward(self, streams_BTC: Tensor, memory: Memory | None, call: Call) -> Tensor:
        """Return the gated and normalised outputs."""
        z_BTC, xbc_BTC, dt_BTH = streams_BTC.split(self.widths, dim=-1)
        x, B, C = self.conv(xbc_BTC, memory, call).split(self.parts, dim=-1)
        x_BTHP = x.unflatten(-1, (self.heads, -1))
        B_BTGN, C_BTGN = (part.unflatten(-1, (self.groups, -1)) for part in (B, C))
        dt_BTH = call.without_padding(F.softplus(wide(dt_BTH) + wide(self.dt_bias)))
        A_H, D_H1 = -wide(self.A_log).exp(), wide(self.D)[:, None]
        state_BHPN = None if memory is None else memory.get("carried")
        scan = kernel("mamba_ssm.ops.triton.ssd_combined", "mamba_chunk_scan_combined")
        if scan is not None and call.runs_kernels(streams_BTC):
            narrow = (part.to(streams_BTC.dtype) for part in (B_BTGN, C_BTGN))
            settings = {"chunk_size": KERNEL_CHUNK_TOKENS, "initial_states": state_BHPN, "return_final_states": True}
            y_BTHP, state_BHPN = scan(x_BTHP.to(streams_BTC.dtype), dt_BTH, A_H, *narrow, **settings)
        else:
            y_BTHP, state_BHPN = state_space_duality(x_BTHP, dt_BTH, A_H, B_BTGN, C_BTGN, state_BHPN)
        if memory is not None:
            memory["carried"] = state_BHPN
        y_BTC = (y_BTHP + D_H1 * x_BTHP).flatten(2).to(streams_BTC.dtype)
        normalized: Tensor = self.norm(y_BTC, z_BTC)
        return normalized


def mamba_mixer(spec: Spec, *, eps: float) -> Mamba1Mixer | Mamba2Mixer:
    """Return the mixer of a spec."""
    return Mamba1Mixer(spec, eps=eps) if spec["kind"] == "mamba1" else Mamba2Mixer(spec, eps=eps)
