"""The operators with their projections, the residual around them. Part of the exported file; see `../merging.py`."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from nas.export.hf.code.attention import AttentionHeads
from nas.export.hf.code.cache import Memory
from nas.export.hf.code.call import Call, KeyValues
from nas.export.hf.code.configuration import Spec
from nas.export.hf.code.delta import DeltaNet
from nas.export.hf.code.mamba import mamba_mixer
from nas.export.hf.code.parts import RMSNorm


class Attention(nn.Module):
    """Softmax attention with grouped queries."""

    def __init__(self, spec: Spec, *, width: int, eps: float, index: int, kept_window: int | None) -> None:
        super().__init__()
        self.heads = AttentionHeads(spec, eps=eps, index=index, kept_window=kept_window)
        self.in_projection = nn.Linear(width, sum(self.heads.widths), bias=spec["bias"])
        self.output = nn.Linear(self.heads.output_width, width, bias=False)

    def forward(
        self, x_BTD: Tensor, memory: Memory | None, call: Call, shared: KeyValues | None
    ) -> tuple[Tensor, KeyValues | None]:
        """Return the outputs, and the keys and values seen."""
        mixed_BTC, key_values = self.heads(self.in_projection(x_BTD), memory, call, shared)
        return self.output(mixed_BTC), key_values


class Mamba(nn.Module):
    """Mamba-1 or Mamba2."""

    def __init__(self, spec: Spec, *, width: int, eps: float) -> None:
        super().__init__()
        self.mixer = mamba_mixer(spec, eps=eps)
        self.in_projection = nn.Linear(width, sum(self.mixer.widths), bias=False)
        self.output = nn.Linear(self.mixer.widths[0], width, bias=False)

    def forward(
        self, x_BTD: Tensor, memory: Memory | None, call: Call, shared: KeyValues | None
    ) -> tuple[Tensor, KeyValues | None]:
        """Return the outputs."""
        del shared
        return self.output(self.mixer(self.in_projection(x_BTD), memory, call)), None


class HybridHead(nn.Module):
    """Attention and a state space on one input, each normalised, then averaged."""

    def __init__(self, spec: Spec, *, width: int, eps: float, index: int, kept_window: int | None) -> None:
        super().__init__()
        attention, ssm = spec["attention"], spec["ssm"]
        self.heads = AttentionHeads(attention, eps=eps, index=index, kept_window=kept_window)
        self.mixer = mamba_mixer(ssm, eps=eps)
        inner = self.heads.output_width
        self.ssm_norm: nn.Module = RMSNorm(inner, eps) if ssm["kind"] == "mamba1" else nn.Identity()
        self.attention_norm = RMSNorm(inner, eps)
        self.widths = [sum(self.heads.widths), sum(self.mixer.widths)]
        self.in_projection = nn.Linear(width, sum(self.widths), bias=False)
        self.qkv_bias = nn.Parameter(torch.zeros(self.widths[0])) if attention["bias"] else None
        self.output = nn.Linear(inner, width, bias=False)

    def forward(
        self, x_BTD: Tensor, memory: Memory | None, call: Call, shared: KeyValues | None
    ) -> tuple[Tensor, KeyValues | None]:
        """Return the outputs, and the keys and values seen."""
        qkv_BTC, ssm_BTC = self.in_projection(x_BTD).split(self.widths, dim=-1)
        if self.qkv_bias is not None:
            qkv_BTC = qkv_BTC + self.qkv_bias
        attended, key_values = self.heads(qkv_BTC, memory, call, shared)
        scanned = self.mixer(ssm_BTC, memory, call)
        return self.output((self.attention_norm(attended) + self.ssm_norm(scanned)) / 2), key_values


class FeedForward(nn.Module):
    """down(activation(up(x))); SwiGLU's gate is the first half."""

    def __init__(self, spec: Spec, *, width: int) -> None:
        super().__init__()
        self.activation = spec["activation"]
        inner = spec["intermediate_size"]
        self.in_projection = nn.Linear(width, inner * (2 if self.activation == "swiglu" else 1), bias=False)
        self.output = nn.Linear(inner, width, bias=False)

    def forward(
        self, x_BTD: Tensor, memory: Memory | None, call: Call, shared: KeyValues | None
    ) -> tuple[Tensor, KeyValues | None]:
        """Return the outputs."""
        del memory, call, shared
        up = self.in_projection(x_BTD)
        if self.activation == "swiglu":
            gate, value = up.chunk(2, dim=-1)
            return self.output(F.silu(gate) * value), None
        return self.output(F.relu(up).square() if self.activation == "relu2" else F.gelu(up)), None


def make_operator(spec: Spec, *, width: int, eps: float, index: int, kept_window: int | None) -> nn.Module:
    """Return the operator of a spec."""
    common: dict[str, Any] = {"width": width, "eps": eps}
    match spec["kind"]:
        case "attention":
            return Attention(spec, index=index, kept_window=kept_window, **common)
        case "hybrid_head":
            return HybridHead(spec, index=index, kept_window=kept_window, **common)
        case "mamba1" | "mamba2":
            return Mamba(spec, **common)
        case "deltanet" | "gated_deltanet":
            return DeltaNet(spec, **common)
        case "ffn":
            return FeedForward(spec, width=width)
        case kind:
            raise ValueError(f"Operator {index} has the unknown kind {kind!r}. Use a newer version of this code.")


class HybridNASLayer(GradientCheckpointingLayer):
    """x + f(norm(x)) of one operator f."""

    def __init__(self, spec: Spec, *, is_shared: bool, width: int, eps: float, **where: Any) -> None:
        super().__init__()
        self.is_shared = is_shared
        self.norm = RMSNorm(width, eps)
        self.operator = make_operator(spec, width=width, eps=eps, **where)

    def forward(self, x_BTD: Tensor, *shared: Tensor, memory: Memory | None, call: Call) -> tuple[Tensor, ...]:
        """Return the stream, and the keys and values that a later operator shares.

        Those go in and out as tensors of the call, so that checkpointing knows of them.
        """
        key_values = (shared[0], shared[1]) if shared else None
        update_BTD, made = self.operator(self.norm(x_BTD), memory, call, key_values)
        return (x_BTD + update_BTD, *made) if self.is_shared else (x_BTD + update_BTD,)
