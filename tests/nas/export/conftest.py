"""Small architectures that between them hold every operator and option, drawn from a seed."""

import random
from collections.abc import Callable

import pytest
import torch

from operators.model import HybridLM
from search_spaces import Architecture
from search_spaces.specs import (
    AttentionSpec,
    DeltaNetSpec,
    FFNSpec,
    GatedDeltaNetSpec,
    HybridHeadSpec,
    Mamba1Spec,
    Mamba2Spec,
    OperatorSpec,
    RopeScaling,
)

WIDTH = 32
VOCAB = 257


def draw_attention(rng: random.Random, *, heads: int = 4, **given: object) -> AttentionSpec:
    theta = rng.choice([None, 1e4, 5e5])
    rotary = {"rotary_fraction": rng.choice([0.5, 1.0])} if theta else {}
    if theta and rng.random() < 0.5:
        rotary["rope_scaling"] = RopeScaling(factor=8.0, original_max_tokens=16)
    settings = {
        "num_heads": heads,
        "num_kv_heads": rng.choice([1, 2, 4]),
        "head_dim": 8,
        "window": rng.choice([None, 1, 5]),
        "rope_theta": theta,
        "qk_norm": rng.random() < 0.5,
        "bias": rng.random() < 0.5,
        "value_head_dim": rng.choice([None, 12]),
        **rotary,
        "output_gate": rng.random() < 0.5,
    }
    return AttentionSpec(**{**settings, **given})


def draw_mamba(rng: random.Random, kind: str) -> Mamba1Spec | Mamba2Spec:
    if kind == "mamba1":
        norms = rng.random() < 0.5
        return Mamba1Spec(inner_size=32, dt_rank=4, state_size=4, conv_width=rng.choice([1, 4]), inner_norms=norms)
    groups = rng.choice([1, 2])
    return Mamba2Spec(num_heads=4, head_dim=8, state_size=6, num_groups=groups, grouped_norm=rng.random() < 0.5)


def draw_operator(rng: random.Random, kind: str) -> OperatorSpec:
    flags = {"output_gate": rng.random() < 0.5, "allow_negative_eigenvalues": rng.random() < 0.5}
    match kind:
        case "attention":
            return draw_attention(rng)
        case "mamba1" | "mamba2":
            return draw_mamba(rng, kind)
        case "deltanet":
            return DeltaNetSpec(num_heads=2, head_dim=8, conv_width=rng.choice([2, 4]), **flags)
        case "gated_deltanet":
            values = {"num_value_heads": rng.choice([None, 4]), "value_head_dim": rng.choice([None, 6])}
            return GatedDeltaNetSpec(num_heads=2, head_dim=8, **values, **flags)
        case "hybrid_head":
            ssm = draw_mamba(rng, rng.choice(["mamba1", "mamba2"]))
            return HybridHeadSpec(attention=draw_attention(rng, value_head_dim=None), ssm=ssm)
        case _:
            return FFNSpec(intermediate_size=48, activation=rng.choice(["swiglu", "relu2", "gelu"]))


RECURRENT = ("mamba1", "mamba2", "deltanet", "gated_deltanet", "ffn")
KINDS = ("attention", "hybrid_head", *RECURRENT)


def draw_architecture(seed: int, *, kinds: tuple[str, ...] = KINDS) -> Architecture:
    """Six operators, some of which share keys and values; every kind comes early or late for some seed."""
    rng = random.Random(seed)
    order = [kinds[(seed + place) % len(kinds)] for place in range(5)]
    operators = [draw_operator(rng, kind) for kind in order]
    sources = [place for place, spec in enumerate(operators) if isinstance(spec, AttentionSpec)]
    if sources:
        shared = {"window": rng.choice([None, 2, 7]), "shares_kv_with": sources[0]}
        source = operators[sources[0]]
        same = {name: getattr(source, name) for name in ("num_kv_heads", "head_dim", "value_head_dim", "rope_theta")}
        same |= {name: getattr(source, name) for name in ("rotary_fraction", "rope_scaling")}
        operators.append(AttentionSpec(num_heads=8, output_gate=rng.random() < 0.5, **same, **shared))
    return Architecture(
        hidden_size=WIDTH,
        vocab_size=VOCAB,
        operators=tuple(operators),
        num_meta_tokens=rng.choice([0, 3]),
        tie_embeddings=rng.random() < 0.5,
        norm_eps=rng.choice([1e-6, 1e-5]),
    )


def make_model(architecture: Architecture, *, seed: int = 0) -> HybridLM:
    """A model none of whose weights is at a value that hides a mistake, such as a norm of ones or a bias of zero."""
    model = HybridLM(architecture, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture(scope="session")
def architecture_of() -> Callable[..., Architecture]:
    return draw_architecture


@pytest.fixture(scope="session")
def model_of() -> Callable[..., HybridLM]:
    return make_model
