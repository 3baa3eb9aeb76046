import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from search_spaces import (
    SPEC_CLASSES,
    AttentionSpec,
    DeltaNetSpec,
    FFNSpec,
    HybridHeadSpec,
    Mamba1Spec,
    Mamba2Spec,
    OperatorSpec,
    RopeScaling,
    SpecError,
    is_mixer,
)
from search_spaces.pattern import LETTERS
from search_spaces.specs import kind_of_letter, kv_form, kv_source, with_attention, with_kv_source

ATTENTION = AttentionSpec(num_heads=8, num_kv_heads=2, head_dim=64)
HYBRID = HybridHeadSpec(attention=ATTENTION, ssm=Mamba1Spec(inner_size=512, dt_rank=16))
MAMBA2 = Mamba2Spec(num_heads=8, head_dim=64, state_size=16)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: AttentionSpec(num_heads=6, num_kv_heads=4, head_dim=64), "Possible num_kv_heads: 1, 2, 3, 6"),
        (
            lambda: AttentionSpec(num_heads=0, num_kv_heads=1, head_dim=64),
            "num_heads must be a positive integer",
        ),
        (lambda: AttentionSpec(num_heads=8, num_kv_heads=2, head_dim=64, window=0), "window must be a positive"),
        (lambda: AttentionSpec(num_heads=8, num_kv_heads=2, head_dim=64, rotary_fraction=0.5), "Set rope_theta"),
        (
            lambda: AttentionSpec(num_heads=8, num_kv_heads=2, head_dim=6, rope_theta=1e4, rotary_fraction=0.5),
            "even number of channels",
        ),
        (lambda: AttentionSpec(num_heads=8, num_kv_heads=2, head_dim=64, shares_kv_with=-1), "shares_kv_with"),
        (lambda: AttentionSpec(num_heads=8, num_kv_heads=2, head_dim=64, shares_kv_with=True), "shares_kv_with"),
        (lambda: RopeScaling(factor=0.5), "factor >= 1"),
        (lambda: RopeScaling(factor=8, low_frequency_factor=4.0, high_frequency_factor=1.0), "low_frequency_factor"),
        (lambda: Mamba2Spec(num_heads=6, head_dim=64, state_size=16, num_groups=4), "multiple of num_groups"),
        (lambda: DeltaNetSpec(num_heads=4, head_dim=True), "head_dim must be a positive integer"),
        (lambda: DeltaNetSpec(num_heads=4, head_dim=64, output_gate=1), "output_gate must be true or false"),
        *(
            (lambda theta=theta: replace(ATTENTION, rope_theta=theta), "rope_theta must be positive and finite")
            for theta in (0, -1.0, math.nan, math.inf)
        ),
        (lambda: RopeScaling(factor=math.inf), "factor >= 1"),
        (lambda: FFNSpec(intermediate_size=64, activation="swigul"), "Did you mean 'swiglu'?"),
        (
            lambda: HybridHeadSpec(attention=ATTENTION, ssm=Mamba2Spec(num_heads=4, head_dim=64, state_size=16)),
            "8 × 64 = 512, the SSM 256. Set value_head_dim to 32.",
        ),
    ],
)
def test_a_broken_rule_is_named_with_its_value(build: Callable[[], object], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        build()
    assert words in str(caught.value)


def test_numbers_that_are_equal_give_equal_specs() -> None:
    whole = AttentionSpec(num_heads=8, num_kv_heads=2, head_dim=64, rope_theta=10000)
    assert whole == AttentionSpec(num_heads=8, num_kv_heads=2, head_dim=64, rope_theta=10000.0, value_head_dim=64)
    assert isinstance(whole.rope_theta, float)


def test_one_group_makes_the_two_gated_norms_the_same_operator() -> None:
    assert Mamba2Spec(num_heads=8, head_dim=64, state_size=16, grouped_norm=False) == MAMBA2


def test_a_window_makes_it_another_letter() -> None:
    assert ATTENTION.letter == "a"
    assert AttentionSpec(num_heads=8, num_kv_heads=2, head_dim=64, window=512).letter == "w"


def test_rotary_width_is_a_share_of_the_head() -> None:
    assert ATTENTION.rotary_dim == 0
    half = AttentionSpec(num_heads=8, num_kv_heads=2, head_dim=192, rope_theta=1e4, rotary_fraction=0.5)
    assert half.rotary_dim == 96


def test_every_letter_has_a_kind_and_every_kind_a_letter() -> None:
    assert {kind_of_letter(letter) for letter in (*LETTERS, "fla:kda")} == set(SPEC_CLASSES)
    with pytest.raises(SpecError, match="Unknown operator letter 'z'"):
        kind_of_letter("z")


@pytest.mark.parametrize("spec", [ATTENTION, HYBRID])
def test_a_kv_link_can_be_set_and_taken_away(spec: OperatorSpec) -> None:
    linked = with_kv_source(spec, 3)
    assert kv_source(linked) == 3
    assert kv_form(linked) == kv_form(spec)
    assert with_kv_source(linked, None) == spec


def test_an_operator_without_attention_has_no_keys_and_values() -> None:
    assert kv_form(MAMBA2) is None
    assert with_attention(MAMBA2, lambda attention: attention) is MAMBA2
    assert with_kv_source(MAMBA2, 2) == MAMBA2


def test_only_the_ffn_mixes_no_tokens() -> None:
    assert is_mixer(ATTENTION)
    assert is_mixer(HYBRID)
    assert not is_mixer(FFNSpec(intermediate_size=64))
