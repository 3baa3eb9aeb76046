"""The activations of the channel mixer."""

from torch import Tensor
from torch.nn import functional as F

from search_spaces.specs import Activation


def activate(up: Tensor, *, activation: Activation) -> Tensor:
    """Return silu(gate) · up of the halves [gate, up], or relu(up)², or gelu(up)."""
    match activation:
        case "swiglu":
            gate, value = up.chunk(2, dim=-1)
            return F.silu(gate) * value
        case "relu2":
            return F.relu(up).square()
        case "gelu":
            return F.gelu(up)
