"""The short convolution in one kernel of fla's.

It runs with the backend `fla`, and with `mamba_ssm` where fla can run too (mamba-ssm has none that knows both a history
and packed documents); with every other backend the convolution is ours. Weights are those of `ShortConvolution`.
torch.compile breaks the graph here.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from operators.context import Documents
from operators.convolution import ShortConvolution
from operators.fla.packing import of_every_document, one_row, rows


def convolve(
    convolution: ShortConvolution, x_BTC: Tensor, *, history_BJC: Tensor | None, documents: Documents | None
) -> tuple[Tensor, Tensor]:
    """Return what the convolution does, outputs in the input's dtype; sums run in float32."""
    from fla.modules.convolution import causal_conv1d

    tokens, history_tokens = x_BTC.shape[1], convolution.history_tokens
    if history_BJC is None:
        history_BJC = x_BTC.new_zeros(x_BTC.shape[0], history_tokens, x_BTC.shape[2])
        initial_BCW = None
    else:
        # fla keeps as many inputs as the filter is wide; the oldest of them is never read.
        initial_BCW = F.pad(history_BJC.to(x_BTC.dtype), (0, 0, 1, 0)).mT.contiguous() if history_tokens else None
    after_BJC = x_BTC[:, max(0, tokens - history_tokens) :]
    if tokens < history_tokens:
        after_BJC = torch.cat((history_BJC[:, tokens:].to(x_BTC.dtype), x_BTC), dim=1)
    packing = {} if documents is None else {"cu_seqlens": documents.cu_seqlens}
    y, _ = causal_conv1d(
        x_BTC if documents is None else one_row(x_BTC),
        convolution.weight,
        convolution.bias,
        initial_state=initial_BCW if documents is None else of_every_document(initial_BCW, documents),
        activation="silu",
        **packing,
    )
    return (y if documents is None else rows(y, documents)), after_BJC
