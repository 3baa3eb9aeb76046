"""Our operators against the modules others wrote, with copied weights: outputs and every gradient."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaConfig, MambaConfig, NemotronHConfig, Qwen3Config
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.mamba.modeling_mamba import MambaMixer
from transformers.models.nemotron_h.modeling_nemotron_h import NemotronHAttention, NemotronHMamba2Mixer
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention, Qwen3RotaryEmbedding
from transformers.models.qwen3_next.modeling_qwen3_next import (
    torch_chunk_gated_delta_rule,
    torch_recurrent_gated_delta_rule,
)

from operators.base import Operator
from operators.context import SequenceContext
from operators.deltanet import chunked as deltanet_chunked
from operators.registry import build_operator
from operators.rotary import frequencies
from search_spaces.specs import AttentionSpec, Mamba1Spec, Mamba2Spec, RopeScaling

CloseCheck = Callable[..., None]
WIDTH, TOKENS, NORM_EPS = 48, 150, 1e-6


def backward(y_BTD: Tensor) -> None:
    weights = torch.linspace(-1, 1, y_BTD[0].numel()).reshape_as(y_BTD[0]).sin()
    (y_BTD * weights).sum().backward()


def random_input() -> Tensor:
    return torch.randn(2, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1)).requires_grad_()


def causal_mask() -> Tensor:
    return torch.full((TOKENS, TOKENS), float("-inf")).triu(1)[None, None]


def grad(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


def perturb_norms(operator: Operator[Any]) -> None:
    """Move parameters that start at one, so that the comparison sees them."""
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for parameter in operator.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize(("num_groups", "state_size"), [(1, 16), (8, 5)])
def test_mamba2_is_that_of_nemotron_h(assert_close: CloseCheck, num_groups: int, state_size: int) -> None:
    spec = Mamba2Spec(num_heads=16, head_dim=6, state_size=state_size, num_groups=num_groups)
    ours = build_operator(spec, hidden_size=WIDTH, norm_eps=NORM_EPS)
    perturb_norms(ours)
    config = NemotronHConfig(
        hidden_size=WIDTH,
        layers_block_type=["mamba"],
        mamba_num_heads=spec.num_heads,
        mamba_head_dim=spec.head_dim,
        ssm_state_size=state_size,
        n_groups=num_groups,
        conv_kernel=spec.conv_width,
        use_conv_bias=True,
        chunk_size=32,
        time_step_min=0.0,
        layer_norm_epsilon=NORM_EPS,
    )
    theirs = NemotronHMamba2Mixer(config, layer_idx=0).train()
    mixer: Any = ours.mixer
    pairs = {
        "in projection": (ours.in_projection.weight, theirs.in_proj.weight),
        "conv weight": (mixer.conv.weight, theirs.conv1d.weight),
        "conv bias": (mixer.conv.bias, theirs.conv1d.bias),
        "dt bias": (mixer.dt_bias, theirs.dt_bias),
        "A_log": (mixer.A_log, theirs.A_log),
        "D": (mixer.D, theirs.D),
        "norm": (mixer.norm.weight, theirs.norm.weight),
        "output": (ours.output.weight, theirs.out_proj.weight),
    }
    compare_pairs(ours, theirs, pairs, assert_close)


def compare_pairs(
    ours: Operator[Any], theirs: Any, pairs: dict[str, tuple[Tensor, Tensor]], assert_close: CloseCheck
) -> None:
    with torch.no_grad():
        for mine, other in pairs.values():
            other.copy_(mine.reshape_as(other))
    x_BTD, same_BTD = random_input(), random_input()
    y_BTD = ours(x_BTD, context=SequenceContext())
    expected_BTD = theirs(same_BTD)
    assert_close(y_BTD, expected_BTD)
    backward(y_BTD)
    backward(expected_BTD)
    assert_close(grad(x_BTD), grad(same_BTD), what="input")
    assert len(pairs) == len(list(ours.parameters()))
    for name, (mine, other) in pairs.items():
        assert_close(grad(mine).reshape_as(other), grad(other), what=name)


def compare_attention(
    ours: Operator[Any], theirs: Any, assert_close: CloseCheck, *, arguments: dict[str, Any], norms: bool
) -> None:
    parts = torch.split(ours.qkv.weight, ours.heads.widths)
    with torch.no_grad():
        for part, linear in zip(parts, (theirs.q_proj, theirs.k_proj, theirs.v_proj), strict=True):
            linear.weight.copy_(part)
        theirs.o_proj.weight.copy_(ours.output.weight)
        if norms:
            theirs.q_norm.weight.copy_(ours.heads.q_norm.weight)
            theirs.k_norm.weight.copy_(ours.heads.k_norm.weight)
    x_BTD, same_BTD = random_input(), random_input()
    y_BTD = ours(x_BTD, context=SequenceContext())
    expected_BTD = theirs(same_BTD, attention_mask=causal_mask(), **arguments)[0]
    assert_close(y_BTD, expected_BTD)
    backward(y_BTD)
    backward(expected_BTD)
    assert_close(grad(x_BTD), grad(same_BTD), what="input")
    their_qkv = torch.cat([grad(linear.weight) for linear in (theirs.q_proj, theirs.k_proj, theirs.v_proj)])
    assert_close(grad(ours.qkv.weight), their_qkv, what="qkv")
    assert_close(grad(ours.output.weight), grad(theirs.o_proj.weight), what="output")
    if norms:
        for name in ("q_norm", "k_norm"):
            assert_close(grad(getattr(ours.heads, name).weight), grad(getattr(theirs, name).weight), what=name)


def test_attention_is_that_of_nemotron_h(assert_close: CloseCheck) -> None:
    spec = AttentionSpec(num_heads=6, num_kv_heads=2, head_dim=10)
    config = NemotronHConfig(
        hidden_size=WIDTH,
        layers_block_type=["attention"],
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=10,
        attn_implementation="eager",
    )
    ours = build_operator(spec, hidden_size=WIDTH, norm_eps=NORM_EPS)
    compare_attention(ours, NemotronHAttention(config, layer_idx=0), assert_close, arguments={}, norms=False)


def test_attention_with_rotation_and_head_norms_is_that_of_qwen3(assert_close: CloseCheck) -> None:
    spec = AttentionSpec(num_heads=6, num_kv_heads=3, head_dim=16, rope_theta=1e6, qk_norm=True)
    config = Qwen3Config(
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=6,
        num_key_value_heads=3,
        head_dim=16,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        rms_norm_eps=NORM_EPS,
        attn_implementation="eager",
    )
    ours = build_operator(spec, hidden_size=WIDTH, norm_eps=NORM_EPS)
    perturb_norms(ours)
    positions = torch.arange(TOKENS)[None]
    rotation = Qwen3RotaryEmbedding(config)(random_input(), positions)
    compare_attention(
        ours, Qwen3Attention(config, 0), assert_close, arguments={"position_embeddings": rotation}, norms=True
    )


@pytest.mark.parametrize("theirs", [torch_recurrent_gated_delta_rule, torch_chunk_gated_delta_rule])
def test_the_delta_rule_is_that_of_qwen3_next_without_decay(
    assert_close: CloseCheck, theirs: Callable[..., Any]
) -> None:
    generator = torch.Generator().manual_seed(4)
    q, k, v = (torch.randn(2, TOKENS, 3, 16, generator=generator).requires_grad_() for _ in range(3))
    beta = torch.rand(2, TOKENS, 3, generator=generator).requires_grad_()
    state = torch.randn(2, 3, 16, 16, generator=generator).requires_grad_()
    leaves = {"q": q, "k": k, "v": v, "beta": beta, "state": state}
    y, last = deltanet_chunked.chunked(
        F.normalize(q, dim=-1) * 16**-0.5, F.normalize(k, dim=-1), v, beta, state_BHKV=state
    )
    expected, expected_last = theirs(
        F.normalize(q, dim=-1),
        F.normalize(k, dim=-1),
        v,
        torch.zeros_like(beta),
        beta,
        initial_state=state,
        output_final_state=True,
    )
    assert_close(y, expected)
    assert_close(last, expected_last, what="state")
    ours = torch.autograd.grad(y.square().sum() + last.sin().sum(), list(leaves.values()))
    others = torch.autograd.grad(expected.square().sum() + expected_last.sin().sum(), list(leaves.values()))
    for name, mine, other in zip(leaves, ours, others, strict=True):
        assert_close(mine, other, what=name)


def test_mamba1_is_that_of_transformers(assert_close: CloseCheck) -> None:
    spec = Mamba1Spec(inner_size=2 * WIDTH, state_size=5, dt_rank=4)
    config = MambaConfig(
        hidden_size=WIDTH, state_size=5, expand=2, time_step_rank=4, conv_kernel=4, num_hidden_layers=1
    )
    ours, theirs = build_operator(spec, hidden_size=WIDTH, norm_eps=NORM_EPS), MambaMixer(config, 0)
    mixer: Any = ours.mixer
    pairs = {
        "in projection": (ours.in_projection.weight, theirs.in_proj.weight),
        "conv weight": (mixer.conv.weight, theirs.conv1d.weight),
        "conv bias": (mixer.conv.bias, theirs.conv1d.bias),
        "selection": (mixer.selection.weight, theirs.x_proj.weight),
        "dt weight": (mixer.dt.weight, theirs.dt_proj.weight),
        "dt bias": (mixer.dt.bias, theirs.dt_proj.bias),
        "A_log": (mixer.A_log, theirs.A_log),
        "D": (mixer.D, theirs.D),
        "output": (ours.output.weight, theirs.out_proj.weight),
    }
    compare_pairs(ours, theirs, pairs, assert_close)


def test_frequency_scaling_is_that_of_llama_3(assert_close: CloseCheck) -> None:
    spec = AttentionSpec(
        num_heads=1, num_kv_heads=1, head_dim=64, rope_theta=5e5, rope_scaling=RopeScaling(factor=32.0)
    )
    config = LlamaConfig(
        hidden_size=64,
        num_attention_heads=1,
        head_dim=64,
        max_position_embeddings=131072,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 5e5,
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    )
    theirs, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    assert_close(frequencies(spec, device=torch.device("cpu")), theirs)
