"""Whole models against transformers' own, with copied weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import NemotronHConfig, NemotronHForCausalLM, Qwen3Config, Qwen3ForCausalLM

from operators.model import HybridLM
from search_spaces.architecture import Architecture
from search_spaces.specs import AttentionSpec, FFNSpec, Mamba2Spec

CloseCheck = Callable[..., None]
WIDTH = 48


def test_a_whole_nemotron_h_gives_the_same_logits(assert_close: CloseCheck) -> None:
    mamba = Mamba2Spec(num_heads=16, head_dim=6, state_size=5, num_groups=8)
    attention = AttentionSpec(num_heads=6, num_kv_heads=2, head_dim=10)
    ffn = FFNSpec(intermediate_size=70, activation="relu2")
    ours = HybridLM(
        Architecture(
            hidden_size=WIDTH, operators=(mamba, ffn, attention, mamba, ffn), vocab_size=60, tie_embeddings=False
        ),
        seed=2,
    )
    config = NemotronHConfig(
        hidden_size=WIDTH,
        vocab_size=60,
        layers_block_type=["mamba", "mlp", "attention", "mamba", "mlp"],
        mamba_num_heads=16,
        mamba_head_dim=6,
        ssm_state_size=5,
        n_groups=8,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=10,
        intermediate_size=70,
        mlp_hidden_act="relu2",
        time_step_min=1e-30,
        layer_norm_epsilon=1e-6,
        tie_word_embeddings=False,
        attn_implementation="eager",
    )
    theirs = NemotronHForCausalLM(config).eval()
    copy_in_order(ours, theirs, skip=())
    tokens = torch.randint(0, 60, (2, 77), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert_close(ours(tokens), theirs(tokens, use_cache=False).logits)


def test_a_whole_qwen3_gives_the_same_logits(assert_close: CloseCheck) -> None:
    attention = AttentionSpec(num_heads=6, num_kv_heads=3, head_dim=16, rope_theta=1e6, qk_norm=True)
    ours = HybridLM(
        Architecture(hidden_size=WIDTH, operators=(attention, FFNSpec(intermediate_size=70)) * 2, vocab_size=60),
        seed=2,
    )
    config = Qwen3Config(
        hidden_size=WIDTH,
        vocab_size=60,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=3,
        head_dim=16,
        intermediate_size=70,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        attn_implementation="eager",
    )
    theirs = Qwen3ForCausalLM(config).eval()
    copy_in_order(ours, theirs, skip=("lm_head.weight",))
    tokens = torch.randint(0, 60, (2, 77), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert_close(ours(tokens), theirs(tokens).logits)


def copy_in_order(ours: HybridLM, theirs: Any, *, skip: tuple[str, ...]) -> None:
    """Copy weights into another model by reading order and shape within each layer."""
    mine = {name: parameter.detach() for name, parameter in ours.named_parameters()}
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if name not in skip:
                parameter.copy_(take(mine, name).reshape_as(parameter))


def take(mine: dict[str, Tensor], name: str) -> Tensor:
    """Return our tensor for a parameter of Nemotron-H or Qwen3."""
    outer = {
        "model.embed_tokens.weight": "embedding",
        "model.embeddings.weight": "embedding",
        "model.norm.weight": "norm.weight",
        "model.norm_f.weight": "norm.weight",
        "lm_head.weight": "head",
    }
    if name in outer:
        return mine[outer[name]]
    _, _, index, *rest = name.split(".")
    return qwen_layer(mine, int(index), ".".join(rest)) if is_qwen(rest) else nemotron_layer(mine, index, rest)


def is_qwen(rest: list[str]) -> bool:
    return rest[0] in ("self_attn", "mlp", "input_layernorm", "post_attention_layernorm")


def qwen_layer(mine: dict[str, Tensor], index: int, rest: str) -> Tensor:
    attention, ffn = f"layers.{2 * index}", f"layers.{2 * index + 1}"
    q, k, v = mine[f"{attention}.operator.in_projection.weight"].split([96, 48, 48])
    gate, up = mine[f"{ffn}.operator.in_projection.weight"].chunk(2)
    return {
        "self_attn.q_proj.weight": q,
        "self_attn.k_proj.weight": k,
        "self_attn.v_proj.weight": v,
        "self_attn.o_proj.weight": mine[f"{attention}.operator.output.weight"],
        "self_attn.q_norm.weight": mine[f"{attention}.operator.heads.q_norm.weight"],
        "self_attn.k_norm.weight": mine[f"{attention}.operator.heads.k_norm.weight"],
        "mlp.gate_proj.weight": gate,
        "mlp.up_proj.weight": up,
        "mlp.down_proj.weight": mine[f"{ffn}.operator.output.weight"],
        "input_layernorm.weight": mine[f"{attention}.norm.weight"],
        "post_attention_layernorm.weight": mine[f"{ffn}.norm.weight"],
    }[rest]


def nemotron_layer(mine: dict[str, Tensor], index: str, rest: list[str]) -> Tensor:
    if rest[0] == "norm":
        return mine[f"layers.{index}.norm.weight"]
    prefix = f"layers.{index}.operator"
    theirs = ".".join(rest[1:])
    if theirs in ("q_proj.weight", "k_proj.weight", "v_proj.weight"):
        parts = mine[f"{prefix}.in_projection.weight"].split([60, 20, 20])
        return parts["qkv".index(theirs[0])]
    return mine[
        f"{prefix}."
        + {
            "in_proj.weight": "in_projection.weight",
            "conv1d.weight": "mixer.conv.weight",
            "conv1d.bias": "mixer.conv.bias",
            "dt_bias": "mixer.dt_bias",
            "A_log": "mixer.A_log",
            "D": "mixer.D",
            "norm.weight": "mixer.norm.weight",
            "out_proj.weight": "output.weight",
            "o_proj.weight": "output.weight",
            "up_proj.weight": "in_projection.weight",
            "down_proj.weight": "output.weight",
        }[theirs]
    ]
