"""Norms and the short convolution. Part of the exported file; see `../merging.py`."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.export.hf.code.cache import Memory
from nas.export.hf.code.call import Call, wide


class RMSNorm(nn.Module):
    """x / rms(x) · weight, statistics in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised input in its dtype."""
        w = wide(x)
        return (w * torch.rsqrt(w.square().mean(-1, keepdim=True) + self.eps) * self.weight.to(w.dtype)).to(x.dtype)


class GatedRMSNorm(RMSNorm):
    """norm(x · silu(gate)) · weight, the norm over each of `num_groups` equal parts."""

    def __init__(self, width: int, eps: float, num_groups: int) -> None:
        super().__init__(width, eps)
        self.num_groups = num_groups

    def forward(self, x: Tensor, gate: Tensor | None = None) -> Tensor:
        """Return the gated and normalised input in its dtype."""
        w = wide(x) if gate is None else wide(x) * F.silu(wide(gate))
        parts = w.unflatten(-1, (self.num_groups, -1))
        parts = parts * torch.rsqrt(parts.square().mean(-1, keepdim=True) + self.eps)
        return (parts.flatten(-2) * self.weight.to(w.dtype)).to(x.dtype)


class ShortConvolution(nn.Module):
    """silu of one causal filter a channel, sums in float32."""

    def __init__(self, channels: int, width: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, width))
        self.bias = nn.Parameter(torch.empty(channels)) if bias else None

    def forward(self, x_BTC: Tensor, memory: Memory | None, call: Call) -> Tensor:
        """Return the outputs in float32; the last inputs go into the memory."""
        (batch, tokens, channels), width = x_BTC.shape, self.weight.shape[1]
        past_BJC = None if memory is None else memory.get("history")
        if past_BJC is None:
            past_BJC = x_BTC.new_zeros(batch, width - 1, channels)
        x_BSC = torch.cat((past_BJC.to(x_BTC.dtype), x_BTC), dim=1)
        if call.num_pads_B is not None:
            # What is remembered belongs directly before the first token: it changes places with the padding.
            column_S = torch.arange(x_BSC.shape[1], device=x_BSC.device)
            moved_B1 = (call.num_pads_B + width - 1)[:, None]
            turned_BS = (column_S - call.num_pads_B[:, None]) % moved_B1.clamp(min=1)
            index_BS = torch.where(column_S < moved_B1, turned_BS, column_S)
            x_BSC = x_BSC.gather(1, index_BS[..., None].expand(-1, -1, channels))
        if memory is not None:
            memory["history"] = x_BSC[:, tokens:]
        w_BSC, weight_CW = wide(x_BSC), wide(self.weight)
        y_BTC = w_BSC[:, :tokens] * weight_CW[:, 0]
        for lag in range(1, width):
            y_BTC = torch.addcmul(y_BTC, w_BSC[:, lag : lag + tokens], weight_CW[:, lag])
        return F.silu(y_BTC if self.bias is None else y_BTC + wide(self.bias))
