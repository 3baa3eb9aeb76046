"""Whole layers of ours beside transformers' modules of the same dimensions, with equal weights; for `operators.py`.

Weights are copied, so outputs and input gradients compare; that every single gradient agrees is a test's affair
(tests/operators/test_transformers_agreement.py). Nothing is timed here.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from operators.base import Operator
from operators.context import SequenceContext
from operators.registry import build_operator
from search_spaces.specs import (
    AttentionSpec,
    FFNSpec,
    GatedDeltaNetSpec,
    HybridHeadSpec,
    Mamba1Spec,
    Mamba2Spec,
    OperatorSpec,
)

NORM_EPS = 1e-6
HEAD_DIM = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPair:
    """One layer in two implementations."""

    name: str
    ours: Operator[Any]
    theirs: nn.Module
    run_theirs: Callable[[Tensor], Tensor]

    def run_ours(self, x_BTD: Tensor) -> Tensor:
        """Return our outputs."""
        y_BTD: Tensor = self.ours(x_BTD, context=SequenceContext(start=0))
        return y_BTD


def layer_pair(kind: str, *, width: int, tokens: int) -> LayerPair:
    """Return the layers of one of `KINDS` for sequences of `tokens` tokens."""
    spec, theirs, run_theirs, weights = KINDS[kind](width, tokens)
    ours = build_operator(spec, hidden_size=width, norm_eps=NORM_EPS)
    with torch.no_grad():
        for name, parts in weights.items():
            rows = torch.split(ours.get_parameter(name), [len(part) for part in parts])
            for part, mine in zip(parts, rows, strict=True):
                part.copy_(mine.reshape_as(part))
    return LayerPair(name=f"{kind}, width {width}", ours=ours, theirs=theirs, run_theirs=run_theirs)


Built = tuple[OperatorSpec, nn.Module, Callable[[Tensor], Tensor], dict[str, Sequence[Tensor]]]
"""Our spec, their module and how it is called, and by the name of our parameter theirs, which side by side are ours."""


def _attention(width: int, tokens: int, *, window: int | None = None) -> Built:
    from transformers import Qwen3Config
    from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention, Qwen3RotaryEmbedding

    heads = width // HEAD_DIM
    groups = max(1, heads // 4)
    spec = AttentionSpec(
        num_heads=heads, num_kv_heads=groups, head_dim=HEAD_DIM, rope_theta=1e6, qk_norm=True, window=window
    )
    configure: Any = Qwen3Config
    config = configure(
        hidden_size=width,
        num_hidden_layers=1,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        head_dim=HEAD_DIM,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        rms_norm_eps=NORM_EPS,
        attn_implementation="sdpa",
    )
    theirs: Any = Qwen3Attention(config, 0)
    rotary = Qwen3RotaryEmbedding(config)
    theirs.add_module("rotary", rotary)  # so that it moves along

    def run(x_BTD: Tensor) -> Tensor:
        position_1T = torch.arange(tokens, device=x_BTD.device)[None]
        seen = None
        if window is not None:  # the mask is made within the call, as ours is
            seen = torch.ones(tokens, tokens, dtype=torch.bool, device=x_BTD.device).tril().triu(1 - window)[None, None]
        y_BTD: Tensor = theirs(x_BTD, position_embeddings=rotary(x_BTD, position_1T), attention_mask=seen)[0]
        return y_BTD

    weights: dict[str, Sequence[Tensor]] = {
        "in_projection.weight": [theirs.q_proj.weight, theirs.k_proj.weight, theirs.v_proj.weight],
        "heads.q_norm.weight": [theirs.q_norm.weight],
        "heads.k_norm.weight": [theirs.k_norm.weight],
        "output.weight": [theirs.o_proj.weight],
    }
    return spec, theirs, run, weights


def _windowed_attention(width: int, tokens: int) -> Built:
    return _attention(width, tokens, window=max(16, tokens // 8))


def _mamba2(width: int, tokens: int) -> Built:
    del tokens
    from transformers import NemotronHConfig
    from transformers.models.nemotron_h import modeling_nemotron_h

    _take_torch_code(modeling_nemotron_h, "causal_conv1d_fn", "mamba2_split_conv1d_scan_combined", "mamba2_chunk_scan")
    spec = Mamba2Spec(num_heads=width // 32, head_dim=64, state_size=128)
    config = NemotronHConfig(
        hidden_size=width,
        layers_block_type=["mamba"],
        mamba_num_heads=spec.num_heads,
        mamba_head_dim=spec.head_dim,
        ssm_state_size=spec.state_size,
        n_groups=1,
        time_step_min=0.0,
        layer_norm_epsilon=NORM_EPS,
    )
    theirs: Any = modeling_nemotron_h.NemotronHMamba2Mixer(config, layer_idx=0)
    weights: dict[str, Sequence[Tensor]] = {
        "in_projection.weight": [theirs.in_proj.weight],
        "mixer.conv.weight": [theirs.conv1d.weight],
        "mixer.conv.bias": [theirs.conv1d.bias],
        "mixer.dt_bias": [theirs.dt_bias],
        "mixer.A_log": [theirs.A_log],
        "mixer.D": [theirs.D],
        "mixer.norm.weight": [theirs.norm.weight],
        "output.weight": [theirs.out_proj.weight],
    }
    return spec, theirs, theirs, weights


def _mamba1(width: int, tokens: int) -> Built:
    del tokens
    from transformers import MambaConfig
    from transformers.models.mamba import modeling_mamba

    spec = Mamba1Spec(inner_size=2 * width, dt_rank=width // 16)
    config = MambaConfig(
        hidden_size=width, state_size=16, expand=2, time_step_rank=spec.dt_rank, conv_kernel=4, num_hidden_layers=1
    )
    theirs: Any = modeling_mamba.MambaMixer(config, 0)
    weights: dict[str, Sequence[Tensor]] = {
        "in_projection.weight": [theirs.in_proj.weight],
        "mixer.conv.weight": [theirs.conv1d.weight],
        "mixer.conv.bias": [theirs.conv1d.bias],
        "mixer.selection.weight": [theirs.x_proj.weight],
        "mixer.dt.weight": [theirs.dt_proj.weight],
        "mixer.dt.bias": [theirs.dt_proj.bias],
        "mixer.A_log": [theirs.A_log],
        "mixer.D": [theirs.D],
        "output.weight": [theirs.out_proj.weight],
    }
    return spec, theirs, theirs, weights


def _gated_deltanet(width: int, tokens: int) -> Built:
    del tokens
    from transformers import Qwen3_5TextConfig
    from transformers.models.qwen3_5 import modeling_qwen3_5

    _take_torch_code(modeling_qwen3_5, "torch_chunk_gated_delta_rule", "causal_conv1d_fn")
    heads = width // HEAD_DIM
    spec = GatedDeltaNetSpec(num_heads=heads, head_dim=HEAD_DIM)
    configure: Any = Qwen3_5TextConfig
    config = configure(
        hidden_size=width,
        num_hidden_layers=1,
        layer_types=["linear_attention"],
        linear_num_key_heads=heads,
        linear_key_head_dim=HEAD_DIM,
        linear_num_value_heads=heads,
        linear_value_head_dim=HEAD_DIM,
        linear_conv_kernel_dim=4,
        rms_norm_eps=NORM_EPS,
    )
    theirs: Any = modeling_qwen3_5.Qwen3_5GatedDeltaNet(config, 0)
    projections = (theirs.in_proj_qkv, theirs.in_proj_b, theirs.in_proj_a, theirs.in_proj_z)
    weights: dict[str, Sequence[Tensor]] = {
        "in_projection.weight": [linear.weight for linear in projections],
        "conv.weight": [theirs.conv1d.weight],
        "A_log": [theirs.A_log],
        "dt_bias": [theirs.dt_bias],
        "norm.weight": [theirs.norm.weight],
        "output.weight": [theirs.out_proj.weight],
    }
    return spec, theirs, theirs, weights


class _Unprojected(nn.Identity):
    """In place of an output projection, whose weights some modules look at."""

    weight = bias = None


class _HybridHead(nn.Module):
    """Others' attention and Mamba2 side by side, the first normed, averaged."""

    def __init__(self, attention: nn.Module, run: Callable[[Tensor], Tensor], ssm: nn.Module, *, width: int) -> None:
        super().__init__()
        from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

        self.attention: Any = attention
        self.ssm: Any = ssm
        self.run = run
        self.norm = Qwen3RMSNorm(2 * width, eps=NORM_EPS)
        self.back = nn.Linear(2 * width, width, bias=False)
        # The branches hand on what they would project back.
        self.attention.o_proj = nn.Identity()
        self.ssm.out_proj = _Unprojected()

    def forward(self, x_BTD: Tensor) -> Tensor:
        y_BTD: Tensor = self.back((self.norm(self.run(x_BTD)) + self.ssm(x_BTD)) / 2)
        return y_BTD


def _hybrid_head(width: int, tokens: int) -> Built:
    from transformers import NemotronHConfig
    from transformers.models.nemotron_h.modeling_nemotron_h import NemotronHAttention

    ssm_spec, ssm, _, ssm_weights = _mamba2(width, tokens)
    assert isinstance(ssm_spec, Mamba2Spec)
    heads = 2 * width // HEAD_DIM
    groups = max(1, heads // 4)
    spec = HybridHeadSpec(
        attention=AttentionSpec(num_heads=heads, num_kv_heads=groups, head_dim=HEAD_DIM), ssm=ssm_spec
    )
    configure: Any = NemotronHConfig
    config = configure(
        hidden_size=width,
        layers_block_type=["attention"],
        num_attention_heads=heads,
        num_key_value_heads=groups,
        head_dim=HEAD_DIM,
        attn_implementation="sdpa",
    )
    attention: Any = NemotronHAttention(config, layer_idx=0)
    projections = [attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]
    theirs = _HybridHead(attention, lambda x_BTD: attention(x_BTD, attention_mask=None)[0], ssm, width=width)
    weights: dict[str, Sequence[Tensor]] = {
        name: parts for name, parts in ssm_weights.items() if name != "output.weight"
    } | {
        "in_projection.weight": [*projections, *ssm_weights["in_projection.weight"]],
        "attention_norm.weight": [theirs.norm.weight],
        "output.weight": [theirs.back.weight],
    }
    return spec, theirs, theirs, weights


def _ffn(width: int, tokens: int) -> Built:
    del tokens
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaMLP

    spec = FFNSpec(intermediate_size=3 * width)
    config = LlamaConfig(hidden_size=width, intermediate_size=3 * width, num_attention_heads=1)
    make: Any = LlamaMLP
    theirs = make(config)
    weights: dict[str, Sequence[Tensor]] = {
        "in_projection.weight": [theirs.gate_proj.weight, theirs.up_proj.weight],
        "output.weight": [theirs.down_proj.weight],
    }
    return spec, theirs, theirs, weights


def _take_torch_code(module: Any, *names: str) -> None:
    """Let transformers run its own torch code also where faster kernels are installed."""
    for name in names:
        setattr(module, name, inspect.unwrap(getattr(module, name)))


KINDS: dict[str, Callable[[int, int], Built]] = {
    "attention": _attention,
    "windowed attention": _windowed_attention,
    "mamba2": _mamba2,
    "mamba1": _mamba1,
    "gated deltanet": _gated_deltanet,
    "hybrid head": _hybrid_head,
    "ffn": _ffn,
}
"""Every kind of layer that is compared."""
