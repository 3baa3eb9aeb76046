"""Causal depthwise short convolution with SiLU, its history as state, and packed documents.

The history of a convolution of width w is its last w − 1 inputs. Sums run in float32 or wider, and so do the outputs.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from operators.context import Documents
from operators.initialization import draw_uniform
from operators.once_differentiable import once_differentiable
from operators.precision import wide_dtype


class ShortConvolution(nn.Module):
    """y_t = silu(Σ_j weight_j · x_{t−w+1+j} + bias), one filter a channel."""

    def __init__(self, channels: int, *, width: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, width))
        self.bias = nn.Parameter(torch.empty(channels)) if bias else None

    @property
    def history_tokens(self) -> int:
        """Inputs that the next output still needs."""
        return self.weight.shape[1] - 1

    def initialize(self, *, generator: torch.Generator) -> None:
        """Draw weight and bias uniformly within ±1/√width."""
        bound = 1 / math.sqrt(self.weight.shape[1])
        for parameter in self.parameters():
            draw_uniform(parameter, generator=generator, low=-bound, high=bound)

    def forward(
        self, x_BTC: Tensor, *, history_BJC: Tensor | None = None, documents: Documents | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the outputs and the history after them, in the input's dtype.

        Every document of a packed row starts from `history_BJC` (zeros if absent).
        """
        batch, tokens, channels = x_BTC.shape
        if history_BJC is None:
            history_BJC = x_BTC.new_zeros(batch, self.history_tokens, channels)
        padded_BSC = torch.cat((history_BJC.to(x_BTC.dtype), x_BTC), dim=1)
        dtype = wide_dtype(x_BTC)
        wide_BSC, weight_CW = padded_BSC.to(dtype), self.weight.to(dtype)
        bias_C = None if self.bias is None else self.bias.to(dtype)
        if documents is None:
            y_BTC: Tensor = _Convolution.apply(wide_BSC, weight_CW, bias_C)  # type: ignore[no-untyped-call]
        else:
            y_BTC = F.silu(_convolve_documents(wide_BSC, weight_CW, bias_C, documents))
        return y_BTC, padded_BSC[:, tokens:]

    def step(self, x_BC: Tensor, history_BJC: Tensor) -> Tensor:
        """Return the output for one input and move the history on in place."""
        window_BWC = torch.cat((history_BJC, x_BC[:, None].to(history_BJC.dtype)), dim=1)
        history_BJC.copy_(window_BWC[:, 1:])
        dtype = wide_dtype(x_BC)
        y_BC = (window_BWC.to(dtype) * self.weight.to(dtype).mT).sum(1)
        if self.bias is not None:
            y_BC = y_BC + self.bias.to(dtype)
        return F.silu(y_BC)


class _Convolution(torch.autograd.Function):
    """silu of the sum of shifted inputs; several times faster on a CPU than a grouped `conv1d`."""

    @staticmethod
    def forward(ctx: Any, x_BSC: Tensor, weight_CW: Tensor, bias_C: Tensor | None) -> Tensor:
        width = weight_CW.shape[1]
        tokens = x_BSC.shape[1] - width + 1
        weight_WC = weight_CW.mT.contiguous()
        sum_BTC = x_BSC[:, :tokens] * weight_WC[0]
        if bias_C is not None:
            sum_BTC.add_(bias_C)
        for lag in range(1, width):
            sum_BTC.addcmul_(x_BSC[:, lag : lag + tokens], weight_WC[lag])
        ctx.save_for_backward(x_BSC, weight_CW, sum_BTC)
        ctx.has_bias = bias_C is not None
        return F.silu(sum_BTC)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        x_BSC, weight_CW, sum_BTC = ctx.saved_tensors
        tokens, width = sum_BTC.shape[1], weight_CW.shape[1]
        weight_WC = weight_CW.mT.contiguous()
        grad_BTC = torch.ops.aten.silu_backward(grads[0], sum_BTC)
        grad_x = torch.zeros_like(x_BSC)
        for lag in range(width):
            grad_x[:, lag : lag + tokens].addcmul_(grad_BTC, weight_WC[lag])
        grad_weight = torch.stack([(grad_BTC * x_BSC[:, lag : lag + tokens]).sum((0, 1)) for lag in range(width)], 1)
        return grad_x, grad_weight, grad_BTC.sum((0, 1)) if ctx.has_bias else None


def _convolve_documents(x_BSC: Tensor, weight_CW: Tensor, bias_C: Tensor | None, documents: Documents) -> Tensor:
    """Return the sums where inputs before a document's first token come from the history."""
    history_tokens = weight_CW.shape[1] - 1
    offset_BT = documents.offset
    index_T = torch.arange(offset_BT.shape[1], device=x_BSC.device)
    sum_BTC = x_BSC.new_zeros(()) if bias_C is None else bias_C
    for lag in range(history_tokens + 1):
        source_BT = history_tokens - lag + torch.where(offset_BT >= lag, index_T, offset_BT)
        lagged_BTC = x_BSC.gather(1, source_BT[..., None].expand(-1, -1, x_BSC.shape[2]))
        sum_BTC = sum_BTC + lagged_BTC * weight_CW[:, history_tokens - lag]
    return sum_BTC
