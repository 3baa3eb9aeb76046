"""transformers' own Qwen3 of an architecture of ours, with our weights: what `decode.py` checks and times against.

Only for models of attention and SwiGLU FFN in turn, which is what Qwen3 is.
"""

import time
from typing import Any, Final

import torch
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from operators.model import HybridLM
from search_spaces.architecture import Architecture
from search_spaces.errors import SpecError
from search_spaces.specs import AttentionSpec, FFNSpec

MOST_POSITIONS: Final = 40_960
"""Of the published configuration."""


def qwen3_of(ours: HybridLM, *, attn_implementation: str) -> Any:
    """Return transformers' model with the weights, device and dtype of ours.

    Raises:
        SpecError: the architecture is no Qwen3.
    """
    weight = ours.embedding
    with weight.device:
        theirs: Any = Qwen3ForCausalLM(_config(ours.architecture, attn_implementation=attn_implementation))
    # Their rotary frequencies stay float32, as where a checkpoint is loaded.
    theirs.eval()
    for parameter in theirs.parameters():
        parameter.data = parameter.data.to(weight.dtype)
    theirs.generation_config.eos_token_id = None
    theirs.generation_config.pad_token_id = 0
    mine = _by_their_names(ours)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.copy_(mine[name])
    return theirs


def seconds_to_generate(theirs: Any, prompt_BT: Tensor, *, num_tokens: int, cache: str | None) -> float:
    """Return what greedy `generate` takes for `num_tokens` tokens beyond the first, the prompt's reading taken off.

    Args:
        theirs: their model.
        prompt_BT: prompt.
        num_tokens: tokens to time.
        cache: `static`, which transformers compiles on a GPU, or none for their default.
    """

    def run(count: int) -> float:
        _wait(prompt_BT)
        started = time.perf_counter()
        theirs.generate(
            prompt_BT,
            attention_mask=torch.ones_like(prompt_BT),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            cache_implementation=cache,
        )
        _wait(prompt_BT)
        return time.perf_counter() - started

    try:
        with torch.inference_mode():
            # Compiles, and finds its kernels.
            run(num_tokens + 1)
            return run(num_tokens + 1) - run(1)
    finally:
        # Graphs of what was compiled hold memory.
        torch.compiler.reset()


def _config(architecture: Architecture, *, attn_implementation: str) -> Any:
    attention, ffn = architecture.operators[:2]
    is_qwen3 = (
        isinstance(attention, AttentionSpec)
        and isinstance(ffn, FFNSpec)
        and architecture.operators == (attention, ffn) * (architecture.depth // 2)
        and attention.qk_norm
        and not attention.output_gate
        and ffn.activation == "swiglu"
        and not architecture.num_meta_tokens
    )
    if not is_qwen3:
        raise SpecError(
            f"Qwen3 is attention with norms on q and k and a SwiGLU FFN in turn; got {architecture.pattern}."
        )
    assert isinstance(attention, AttentionSpec)
    assert isinstance(ffn, FFNSpec)
    config: Any = Qwen3Config(
        hidden_size=architecture.hidden_size,
        vocab_size=architecture.vocab_size,
        num_hidden_layers=architecture.depth // 2,
        num_attention_heads=attention.num_heads,
        num_key_value_heads=attention.num_kv_heads,
        head_dim=attention.head_dim,
        intermediate_size=ffn.intermediate_size,
        max_position_embeddings=MOST_POSITIONS,
        rope_parameters={"rope_type": "default", "rope_theta": attention.rope_theta},
        rms_norm_eps=architecture.norm_eps,
        tie_word_embeddings=architecture.tie_embeddings,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
    )
    config._attn_implementation = attn_implementation
    return config


def _by_their_names(ours: HybridLM) -> dict[str, Tensor]:
    mine = {name: parameter.detach() for name, parameter in ours.named_parameters()}
    found = {
        "model.embed_tokens.weight": mine["embedding"],
        "model.norm.weight": mine["norm.weight"],
        "lm_head.weight": ours.head_weight.detach(),
    }
    for index, spec in enumerate(ours.architecture.operators):
        layer, theirs = f"layers.{index}", f"model.layers.{index // 2}"
        if isinstance(spec, AttentionSpec):
            widths = [spec.num_heads * spec.head_dim, *[spec.num_kv_heads * spec.head_dim] * 2]
            projections: Any = mine[f"{layer}.operator.in_projection.weight"]
            q, k, v = projections.split(widths)
            found |= {
                f"{theirs}.input_layernorm.weight": mine[f"{layer}.norm.weight"],
                f"{theirs}.self_attn.q_proj.weight": q,
                f"{theirs}.self_attn.k_proj.weight": k,
                f"{theirs}.self_attn.v_proj.weight": v,
                f"{theirs}.self_attn.o_proj.weight": mine[f"{layer}.operator.output.weight"],
                f"{theirs}.self_attn.q_norm.weight": mine[f"{layer}.operator.heads.q_norm.weight"],
                f"{theirs}.self_attn.k_norm.weight": mine[f"{layer}.operator.heads.k_norm.weight"],
            }
        else:
            gate, up = mine[f"{layer}.operator.in_projection.weight"].chunk(2)
            found |= {
                f"{theirs}.post_attention_layernorm.weight": mine[f"{layer}.norm.weight"],
                f"{theirs}.mlp.gate_proj.weight": gate,
                f"{theirs}.mlp.up_proj.weight": up,
                f"{theirs}.mlp.down_proj.weight": mine[f"{layer}.operator.output.weight"],
            }
    return found


def _wait(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize()
