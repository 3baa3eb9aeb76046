"""Attention between its projections. Part of the exported file; see `../merging.py`."""

from math import pi

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.export.hf.code.cache import Memory
from nas.export.hf.code.call import PADDING, Call, KeyValues, wide
from nas.export.hf.code.configuration import Spec
from nas.export.hf.code.parts import RMSNorm


class AttentionHeads(nn.Module):
    """Attention between its projections."""

    def __init__(self, spec: Spec, *, eps: float, index: int, kept_window: int | None) -> None:
        super().__init__()
        self.spec = spec
        self.index = index
        self.kept_window = kept_window
        """Tokens that this and every operator which shares its keys and values see; none means all."""
        self.key_width, self.groups = spec["head_dim"], spec["num_kv_heads"]
        self.value_width = spec["value_head_dim"] or spec["head_dim"]
        self.is_reader = spec["shares_kv_with"] is not None
        self.q_norm = RMSNorm(self.key_width, eps) if spec["qk_norm"] else None
        self.k_norm = RMSNorm(self.key_width, eps) if spec["qk_norm"] and not self.is_reader else None
        queries, keys = spec["num_heads"] * self.key_width, self.groups * self.key_width
        self.widths = [queries] if self.is_reader else [queries, keys, self.groups * self.value_width]
        self.output_width = spec["num_heads"] * self.value_width
        if spec["output_gate"]:
            self.widths.append(self.output_width)

    def forward(
        self, qkv_BTC: Tensor, memory: Memory | None, call: Call, shared: KeyValues | None
    ) -> tuple[Tensor, KeyValues]:
        """Return the heads' outputs side by side, and the keys and values they saw."""
        q_BTC, *rest = qkv_BTC.split(self.widths, dim=-1)
        q_BHTK = self._heads(q_BTC, self.key_width, self.q_norm, call)
        if self.is_reader:
            assert shared is not None
            k_BGSK, v_BGSV = (x.to(q_BHTK.device) for x in shared)
            key_BS = call.key_positions[self.spec["shares_kv_with"]].to(q_BHTK.device)
        else:
            k_BGTK = self._heads(rest[0], self.key_width, self.k_norm, call)
            v_BGTV = rest[1].unflatten(-1, (self.groups, self.value_width)).transpose(1, 2)
            k_BGSK, v_BGSV, key_BS = self._remember(k_BGTK, v_BGTV, memory, call)
            call.key_positions[self.index] = key_BS
        y_BHTV = self._attend(q_BHTK, k_BGSK, v_BGSV, key_BS, call)
        y_BTI = y_BHTV.transpose(1, 2).flatten(2)
        if self.spec["output_gate"]:
            y_BTI = y_BTI * rest[-1].sigmoid()
        return y_BTI, (k_BGSK, v_BGSV)

    def _heads(self, x_BTC: Tensor, width: int, norm: RMSNorm | None, call: Call) -> Tensor:
        x_BTHK = x_BTC.unflatten(-1, (-1, width))
        x_BHTK = (x_BTHK if norm is None else norm(x_BTHK)).transpose(1, 2)
        if self.spec["rope_theta"] is None:
            return x_BHTK
        cosine_B1TR, sine_B1TR = self._rotation(call)
        half = cosine_B1TR.shape[-1]
        first, second, rest = wide(x_BHTK).split([half, half, width - 2 * half], dim=-1)
        turned = (first * cosine_B1TR - second * sine_B1TR, second * cosine_B1TR + first * sine_B1TR)
        return torch.cat((*turned, rest), dim=-1).to(x_BTC.dtype)

    def _rotation(self, call: Call) -> KeyValues:
        spec, scaling = self.spec, self.spec["rope_scaling"] or {}
        rotary = round(spec["head_dim"] * spec["rotary_fraction"])
        device = call.positions_BT.device
        key = (spec["rope_theta"], rotary, tuple(scaling.items()), device)
        if key not in call.rotations:
            steps = torch.arange(0, rotary, 2, dtype=torch.float32, device=device)
            frequency = 1.0 / spec["rope_theta"] ** (steps / rotary)
            if scaling:
                low, high = scaling["low_frequency_factor"], scaling["high_frequency_factor"]
                turns = scaling["original_max_tokens"] * frequency / (2 * pi)
                kept = ((turns - low) / (high - low)).clamp(0, 1)
                frequency = frequency * (kept + (1 - kept) / scaling["factor"])
            angles = call.positions_BT.clamp(min=0)[:, None, :, None].float() * frequency
            call.rotations[key] = (angles.cos(), angles.sin())
        return call.rotations[key]

    def _remember(
        self, k_BGTK: Tensor, v_BGTV: Tensor, memory: Memory | None, call: Call
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return keys, values and their positions, those remembered first; padding in front."""
        key_BS = call.positions_BT
        if memory is None:
            return k_BGTK, v_BGTV, key_BS
        if "keys" in memory:
            k_BGTK = torch.cat((memory["keys"], k_BGTK), dim=2)
            v_BGTV = torch.cat((memory["values"], v_BGTV), dim=2)
            key_BS = torch.cat((memory["positions"], key_BS), dim=1)
            if call.num_pads_B is not None:
                order_BS = torch.argsort((key_BS != PADDING).int(), dim=1, stable=True)
                k_BGTK, v_BGTV, key_BS = (_taken(x, order_BS) for x in (k_BGTK, v_BGTV, key_BS))
        kept = (k_BGTK, v_BGTV, key_BS)
        if self.kept_window is not None and key_BS.shape[1] > call.num_meta + self.kept_window - 1:
            kept = self._last(*kept, num_meta=call.num_meta)
        memory["keys"], memory["values"], memory["positions"] = kept
        return k_BGTK, v_BGTV, key_BS

    def _last(self, k: Tensor, v: Tensor, key_BS: Tensor, *, num_meta: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the meta tokens and what a window behind the next token still sees."""
        assert self.kept_window is not None
        (batch, tokens), device = key_BS.shape, key_BS.device
        first_B1 = (key_BS == 0).int().argmax(1, keepdim=True)
        meta_BM = first_B1 + torch.arange(num_meta, device=device)
        tail_BW = torch.arange(tokens - self.kept_window + 1, tokens, device=device).expand(batch, -1)
        index_BS = torch.cat((meta_BM, tail_BW), dim=1)
        k, v, key_BS = (_taken(x, index_BS) for x in (k, v, key_BS))
        # A short row's meta tokens are at its end as well.
        is_again_BS = (key_BS < num_meta) & (torch.arange(index_BS.shape[1], device=device) >= num_meta)
        return k, v, key_BS.masked_fill(is_again_BS, PADDING)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, key_BS: Tensor, call: Call) -> Tensor:
        window, tokens, mask = self.spec["window"], q.shape[2], None
        is_causal = not call.has_padding and (window is None or call.end <= window)
        if not is_causal or 1 < tokens < k.shape[2]:
            query_BT1, key_B1S = call.positions_BT[:, :, None], key_BS[:, None]
            mask = (key_B1S != PADDING) & (key_B1S <= query_BT1)
            if window is not None:
                mask &= (query_BT1 - key_B1S < window) | (key_B1S < call.num_meta)
            # Padding reads nonsense that nobody reads, but no empty softmax.
            mask = (mask | (query_BT1 == PADDING))[:, None]
        grouped = {"enable_gqa": True} if q.shape[1] != k.shape[1] else {}
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None and tokens > 1, **grouped)


def _taken(x: Tensor, index_BS: Tensor) -> Tensor:
    """Return x [B, S] or [B, G, S, K] at these places of every row."""
    if x.ndim == 2:
        return x.gather(1, index_BS)
    return x.gather(2, index_BS[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))
