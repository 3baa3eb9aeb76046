"""DeltaNet, gated or not. Part of the exported file; see `../merging.py`."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.export.hf.code.cache import Memory
from nas.export.hf.code.call import Call, KeyValues, kernel, wide
from nas.export.hf.code.configuration import Spec
from nas.export.hf.code.parts import RMSNorm, ShortConvolution
from nas.export.hf.code.scans import delta_rule, unit

LARGEST_KERNEL_WIDTH = 256


class DeltaNet(nn.Module):
    """The delta rule with its projections; its memory decays where the kind is gated."""

    def __init__(self, spec: Spec, *, width: int, eps: float) -> None:
        super().__init__()
        self.spec = spec
        self.is_gated = spec["kind"] == "gated_deltanet"
        self.key_heads, self.key_width = spec["num_heads"], spec["head_dim"]
        self.heads = spec.get("num_value_heads") or self.key_heads
        self.value_width = spec.get("value_head_dim") or self.key_width
        keys, values = self.key_heads * self.key_width, self.heads * self.value_width
        self.stream_widths = [keys, keys, values]
        gates = [values] if spec["output_gate"] else []
        self.widths = [2 * keys + values, self.heads, *([self.heads] if self.is_gated else []), *gates]
        self.in_projection = nn.Linear(width, sum(self.widths), bias=False)
        self.conv = ShortConvolution(self.widths[0], spec["conv_width"], bias=False)
        if self.is_gated:
            self.A_log = nn.Parameter(torch.empty(self.heads))
            self.dt_bias = nn.Parameter(torch.empty(self.heads))
        self.norm = RMSNorm(self.value_width, eps)
        self.output = nn.Linear(values, width, bias=False)

    def forward(
        self, x_BTD: Tensor, memory: Memory | None, call: Call, shared: KeyValues | None
    ) -> tuple[Tensor, KeyValues | None]:
        """Return the outputs."""
        del shared
        qkv_BTC, beta_BTH, *rest = self.in_projection(x_BTD).split(self.widths, dim=-1)
        strength_BTH = wide(beta_BTH).sigmoid() * (2 if self.spec["allow_negative_eigenvalues"] else 1)
        # Padding writes nothing and lets nothing decay.
        strength_BTH = call.without_padding(strength_BTH)
        decay_BTH = None
        if self.is_gated:
            dt_BTH = F.softplus(wide(rest.pop(0)) + wide(self.dt_bias))
            decay_BTH = call.without_padding(-wide(self.A_log).exp() * dt_BTH)
        streams = self.conv(qkv_BTC, memory, call).split(self.stream_widths, dim=-1)
        q_BTGK, k_BTGK = (x.unflatten(-1, (self.key_heads, self.key_width)) for x in streams[:2])
        v_BTHV = streams[2].unflatten(-1, (self.heads, self.value_width))
        state = None if memory is None else memory.get("carried")
        run = self._kernel(call, x_BTD)
        if run is None:
            repeats = self.heads // self.key_heads
            q, k = (unit(x).repeat_interleave(repeats, dim=2) for x in (q_BTGK, k_BTGK))
            y_BTHV, state = delta_rule(q * self.key_width**-0.5, k, v_BTHV, strength_BTH, decay_BTH, state)
        else:
            narrow = (x.to(x_BTD.dtype) for x in (q_BTGK, k_BTGK, v_BTHV))
            decays = () if decay_BTH is None else (decay_BTH,)
            settings = {"scale": self.key_width**-0.5, "initial_state": state, "output_final_state": True}
            y_BTHV, state = run(*narrow, *decays, strength_BTH, use_qk_l2norm_in_kernel=True, **settings)
        if memory is not None:
            memory["carried"] = state
        # Rounded as our operators round: after the rule, and once after the gate.
        mixed_BTC = self.norm(wide(y_BTHV.to(x_BTD.dtype))).flatten(2)
        if rest:
            mixed_BTC = mixed_BTC * F.silu(wide(rest[0]))
        return self.output(mixed_BTC.to(x_BTD.dtype)), None

    def _kernel(self, call: Call, x: Tensor) -> Any:
        widths = (self.key_width, self.value_width)
        if not call.runs_kernels(x) or any(width % 2 or width > LARGEST_KERNEL_WIDTH for width in widths):
            return None
        if self.is_gated:
            return kernel("fla.ops.gated_delta_rule", "chunk_gated_delta_rule")
        return kernel("fla.ops.delta_rule", "chunk_delta_rule")
