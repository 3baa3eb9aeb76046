"""Random architectures that each native format can hold, and models of them whose norms are not all ones."""

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from operators.model import HybridLM
from search_spaces import Architecture
from search_spaces.specs import (
    AttentionSpec,
    DeltaNetSpec,
    FFNSpec,
    GatedDeltaNetSpec,
    Mamba2Spec,
    OperatorSpec,
    RopeScaling,
)

Draw = Callable[[random.Random, int], tuple[OperatorSpec, ...]]


@pytest.fixture(scope="session", autouse=True)
def _offline_on_one_thread() -> Iterator[None]:
    before, threads = os.environ.get("HF_HUB_OFFLINE"), torch.get_num_threads()
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    if before is None:
        del os.environ["HF_HUB_OFFLINE"]
    else:
        os.environ["HF_HUB_OFFLINE"] = before


def _heads(rng: random.Random) -> dict[str, int]:
    groups, per_group = rng.choice([(1, 3), (2, 2), (1, 4), (3, 1), (2, 1)])
    return {"num_heads": groups * per_group, "num_kv_heads": groups}


def _rope(rng: random.Random, *, scaled: bool = True) -> dict[str, Any]:
    scaling = RopeScaling(factor=rng.choice([2.0, 8.0]), original_max_tokens=16)
    return {"rope_theta": rng.choice([1e4, 5e5]), "rope_scaling": scaling if scaled and rng.random() < 0.5 else None}


def _heads_that_fill(rng: random.Random, width: int) -> dict[str, int]:
    heads, kv_heads = rng.choice([(2, 1), (4, 2), (4, 4), (8, 2)])
    return {"num_heads": heads, "num_kv_heads": kv_heads, "head_dim": width // heads}


def _mamba2_that_fills(rng: random.Random, width: int, *, groups: int = 1) -> Mamba2Spec:
    heads = rng.choice([2, 4, 8])
    return Mamba2Spec(
        num_heads=heads,
        num_groups=groups,
        head_dim=rng.choice([1, 2]) * width // heads,
        state_size=rng.choice([3, 8]),
        conv_width=rng.choice([2, 3, 4]),
    )


def _in_any_order(rng: random.Random, operators: list[OperatorSpec]) -> tuple[OperatorSpec, ...]:
    chosen = [operators[0], *rng.choices(operators, k=rng.randint(1, 5))]
    rng.shuffle(chosen)
    return tuple(chosen)


def _layers(rng: random.Random, mixers: list[OperatorSpec], activation: str = "swiglu") -> tuple[OperatorSpec, ...]:
    """Return the first mixer at least once, most mixers with an FFN behind them, of one or two sizes."""
    sizes = rng.choice([[48], [48], [40, 56]])
    chosen = [mixers[0], *rng.choices(mixers, k=rng.randint(0, 2))]
    rng.shuffle(chosen)
    operators: list[OperatorSpec] = []
    for mixer in chosen:
        operators.append(mixer)
        if rng.random() < 0.8:
            operators.append(FFNSpec(intermediate_size=rng.choice(sizes), activation=activation))
    return tuple(operators)


def nemotron_h(rng: random.Random, width: int) -> tuple[OperatorSpec, ...]:
    groups = rng.choice([1, 2, 4])
    return _in_any_order(
        rng,
        [
            AttentionSpec(**_heads(rng), head_dim=rng.choice([6, 10, 16])),
            Mamba2Spec(
                num_heads=groups * rng.choice([1, 2, 3]),
                head_dim=rng.choice([4, 6, 10]),
                state_size=rng.choice([3, 8]),
                num_groups=groups,
                conv_width=rng.choice([2, 3, 4]),
            ),
            FFNSpec(intermediate_size=rng.choice([20, 70]), activation="relu2"),
        ],
    )


def granite(rng: random.Random, width: int) -> tuple[OperatorSpec, ...]:
    rope = _rope(rng) if rng.random() < 0.5 else {}
    attends = AttentionSpec(**_heads_that_fill(rng, width), **rope, bias=rng.random() < 0.3)
    return _layers(rng, [attends, _mamba2_that_fills(rng, width, groups=rng.choice([1, 2]))])


def bamba(rng: random.Random, width: int) -> tuple[OperatorSpec, ...]:
    heads = _heads_that_fill(rng, width)
    attends = AttentionSpec(
        **heads,
        rope_theta=rng.choice([1e4, 5e5]),
        rotary_fraction=rng.choice([0.5, 1.0]) if heads["head_dim"] % 4 == 0 else 1.0,
    )
    return _layers(rng, [attends, _mamba2_that_fills(rng, width, groups=rng.choice([1, 2]))])


def qwen3_5(rng: random.Random, width: int) -> tuple[OperatorSpec, ...]:
    del width
    attends = AttentionSpec(
        **_heads(rng),
        head_dim=rng.choice([8, 12, 16]),
        rope_theta=1e6,
        rotary_fraction=rng.choice([0.25, 0.5, 1.0]),
        qk_norm=True,
    )
    heads, width_of_key = rng.choice([1, 2, 3]), rng.choice([4, 6, 10])
    if rng.random() < 0.3:
        constant = DeltaNetSpec(num_heads=heads, head_dim=width_of_key, output_gate=True)
        return _layers(rng, [attends, constant, GatedDeltaNetSpec(num_heads=heads, head_dim=width_of_key)])
    gated = GatedDeltaNetSpec(
        num_heads=heads,
        head_dim=width_of_key,
        num_value_heads=heads * rng.choice([1, 2]),
        value_head_dim=rng.choice([4, 8]),
        conv_width=rng.choice([2, 4]),
    )
    return _layers(rng, [replace(attends, output_gate=True), gated, *([attends] if rng.random() < 0.5 else [])])


def qwen3(rng: random.Random, width: int) -> tuple[OperatorSpec, ...]:
    del width
    return _layers(rng, [AttentionSpec(**_heads(rng), head_dim=rng.choice([6, 10, 16]), **_rope(rng), qk_norm=True)])


def llama(rng: random.Random, width: int) -> tuple[OperatorSpec, ...]:
    del width
    heads, kv_heads = rng.choice([(2, 1), (4, 2), (4, 4), (8, 2)])
    attends = AttentionSpec(
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=rng.choice([6, 10, 16]),
        **_rope(rng),
        bias=rng.random() < 0.4,
    )
    return _layers(rng, [attends])


def fla(rng: random.Random, width: int) -> tuple[OperatorSpec, ...]:
    attends = AttentionSpec(
        **_heads_that_fill(rng, width), rope_theta=1e4, window=rng.choice([None, 7]), bias=rng.random() < 0.5
    )
    deltanet = DeltaNetSpec(num_heads=2, head_dim=rng.choice([8, 10]), output_gate=rng.random() < 0.5)
    return _layers(rng, [attends, deltanet])


def nemotron_flash(rng: random.Random, width: int) -> tuple[OperatorSpec, ...]:
    heads = _heads_that_fill(rng, width)
    return _in_any_order(
        rng,
        [
            AttentionSpec(**heads, qk_norm=rng.random() < 0.5, rope_theta=rng.choice([None, 1e4])),
            DeltaNetSpec(num_heads=heads["num_heads"], head_dim=heads["head_dim"]),
            _mamba2_that_fills(rng, width),
            FFNSpec(intermediate_size=rng.choice([100, 128])),
        ],
    )


OPERATORS: dict[str, Draw] = {
    "nemotron-h": nemotron_h,
    "granite": granite,
    "bamba": bamba,
    "qwen3.5": qwen3_5,
    "qwen3": qwen3,
    "llama": llama,
    "fla": fla,
    "nemotron-flash": nemotron_flash,
}


@pytest.fixture(scope="session")
def draw_expressible() -> Callable[[str, int], Architecture]:
    """Return a random architecture that a format can hold."""

    def draw(format_name: str, seed: int) -> Architecture:
        rng = random.Random(f"{format_name} {seed}")
        width = rng.choice([32, 48, 64])
        is_flash = format_name == "nemotron-flash"
        return Architecture(
            hidden_size=width,
            operators=OPERATORS[format_name](rng, width),
            vocab_size=rng.choice([61, 64]),
            tie_embeddings=is_flash or rng.random() < 0.5,
            num_meta_tokens=rng.choice([0, 5]) if is_flash else 0,
            norm_eps=1e-5 if is_flash else rng.choice([1e-5, 1e-6]),
        )

    return draw


@pytest.fixture(scope="session")
def random_model() -> Callable[[Architecture], HybridLM]:
    """Return a model whose norms, biases and steps are not what they start from."""

    def make(architecture: Architecture) -> HybridLM:
        model = HybridLM(architecture, seed=3)
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 1:
                    parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        return model.eval()

    return make


@pytest.fixture(scope="session")
def relative_rms() -> Callable[[torch.Tensor, torch.Tensor], float]:
    """Return the RMS of a difference over that of what is expected."""

    def measure(actual: torch.Tensor, expected: torch.Tensor) -> float:
        assert actual.shape == expected.shape
        return ((actual.double() - expected.double()).norm() / expected.double().norm()).item()

    return measure
