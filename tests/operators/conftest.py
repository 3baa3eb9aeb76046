"""What operator tests share: one tolerance table, and small specs of every kind."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

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

RELATIVE_RMS_TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 2e-2}

HIDDEN_SIZE = 24

SPECS: dict[str, OperatorSpec] = {
    "attention": AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=6),
    "attention, rotary": AttentionSpec(
        num_heads=3,
        num_kv_heads=3,
        head_dim=8,
        rope_theta=1e4,
        rotary_fraction=0.5,
        rope_scaling=RopeScaling(factor=8.0, original_max_tokens=16),
        qk_norm=True,
        bias=True,
        value_head_dim=5,
    ),
    "attention, window": AttentionSpec(num_heads=4, num_kv_heads=1, head_dim=6, window=7, rope_theta=1e4),
    "attention, output gate": AttentionSpec(
        num_heads=4, num_kv_heads=2, head_dim=6, value_head_dim=10, rope_theta=1e4, bias=True, output_gate=True
    ),
    "attention, window, output gate": AttentionSpec(
        num_heads=2, num_kv_heads=1, head_dim=8, window=7, qk_norm=True, output_gate=True
    ),
    "attention, long window": AttentionSpec(num_heads=2, num_kv_heads=2, head_dim=4, window=40),
    "mamba1": Mamba1Spec(inner_size=20, state_size=3, dt_rank=4),
    "mamba1, inner norms": Mamba1Spec(inner_size=12, state_size=4, dt_rank=2, conv_width=2, inner_norms=True),
    "mamba2": Mamba2Spec(num_heads=3, head_dim=8, state_size=5),
    "mamba2, groups": Mamba2Spec(num_heads=6, head_dim=4, state_size=6, num_groups=3),
    "mamba2, whole norm": Mamba2Spec(
        num_heads=4, head_dim=4, state_size=6, num_groups=2, conv_width=1, grouped_norm=False
    ),
    "deltanet": DeltaNetSpec(num_heads=3, head_dim=8),
    "deltanet, gated": DeltaNetSpec(
        num_heads=2, head_dim=6, conv_width=3, output_gate=True, allow_negative_eigenvalues=True
    ),
    "gated deltanet": GatedDeltaNetSpec(num_heads=3, head_dim=8),
    "gated deltanet, more and wider values": GatedDeltaNetSpec(
        num_heads=2, head_dim=6, num_value_heads=4, value_head_dim=5, conv_width=2, allow_negative_eigenvalues=True
    ),
    "gated deltanet, no gate": GatedDeltaNetSpec(num_heads=2, head_dim=4, value_head_dim=10, output_gate=False),
    "hybrid head, mamba1": HybridHeadSpec(
        attention=AttentionSpec(
            num_heads=4, num_kv_heads=2, head_dim=6, value_head_dim=5, window=9, rope_theta=1e4, bias=True
        ),
        ssm=Mamba1Spec(inner_size=20, state_size=3, dt_rank=4, inner_norms=True),
    ),
    "hybrid head, mamba2": HybridHeadSpec(
        attention=AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=6),
        ssm=Mamba2Spec(num_heads=3, head_dim=8, state_size=5),
    ),
    "hybrid head, output gate": HybridHeadSpec(
        attention=AttentionSpec(num_heads=4, num_kv_heads=1, head_dim=6, window=9, bias=True, output_gate=True),
        ssm=Mamba2Spec(num_heads=3, head_dim=8, state_size=5),
    ),
    "ffn, swiglu": FFNSpec(intermediate_size=17),
    "ffn, relu2": FFNSpec(intermediate_size=17, activation="relu2"),
    "ffn, gelu": FFNSpec(intermediate_size=17, activation="gelu"),
}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=SPECS, scope="module")
def spec(request: pytest.FixtureRequest) -> OperatorSpec:
    return SPECS[request.param]


@pytest.fixture(scope="session")
def hidden_size() -> int:
    return HIDDEN_SIZE


@pytest.fixture(scope="session")
def every_spec() -> dict[str, OperatorSpec]:
    return SPECS


@pytest.fixture(scope="session")
def assert_close() -> Callable[..., None]:
    def check(
        actual: Tensor,
        expected: Tensor,
        *,
        dtype: torch.dtype = torch.float32,
        within: float | None = None,
        what: str = "output",
    ) -> None:
        assert actual.shape == expected.shape, f"{what}: {tuple(actual.shape)} against {tuple(expected.shape)}"
        difference = (actual.double() - expected.double()).square().mean().sqrt().item()
        scale = expected.double().square().mean().sqrt().item()
        bound = (RELATIVE_RMS_TOLERANCE[dtype] if within is None else within) * scale
        # `not <=` and not `>`: a NaN must fail.
        if not difference <= bound:
            raise AssertionError(f"{what}: RMS error {difference:.2e} exceeds {bound:.2e} (RMS {scale:.2e})")

    return check
