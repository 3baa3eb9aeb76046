from typing import Any

import pytest

from search_spaces import (
    AttentionSpec,
    DeltaNetSpec,
    DepthWidthSpace,
    Dimensions,
    HybridHeadSpec,
    Mamba2Spec,
    SpecError,
    architecture_from_pattern,
    load_reference,
)


@pytest.mark.parametrize("name", ["nemotron-flash-1b", "nemotron-flash-3b"])
def test_the_defaults_reproduce_nemotron_flash(name: str) -> None:
    published = load_reference(name)
    ours = architecture_from_pattern(
        published.pattern, hidden_size=published.hidden_size, vocab_size=131072, num_meta_tokens=256
    )
    assert ours == published


def test_heads_are_narrower_below_a_width_of_1024() -> None:
    assert Dimensions().operator("d", hidden_size=960) == DeltaNetSpec(num_heads=15, head_dim=64)
    assert Dimensions().operator("d", hidden_size=1024) == DeltaNetSpec(num_heads=8, head_dim=128)


@pytest.mark.parametrize(
    ("hidden_size", "num_kv_heads"), [(1024, 2), (1280, 2), (1536, 3), (1792, 2), (256, 1), (64, 1)]
)
def test_kv_heads_are_the_largest_divisor_not_above_a_quarter(hidden_size: int, num_kv_heads: int) -> None:
    attention = Dimensions().operator("a", hidden_size=hidden_size)
    assert isinstance(attention, AttentionSpec)
    assert attention.num_kv_heads == num_kv_heads


def test_a_hybrid_head_gives_both_branches_one_width() -> None:
    hybrid = Dimensions().operator("hh", hidden_size=1024)
    assert isinstance(hybrid, HybridHeadSpec)
    assert hybrid.ssm.inner_size == 2048 == hybrid.attention.num_heads * hybrid.attention.value_dim


def test_a_space_may_change_every_rule() -> None:
    rules = Dimensions(head_dim=16, mamba_head_dim=32, mamba_state_size=24, window=64, rope_theta=10000, qk_norm=True)
    assert rules.operator("w", hidden_size=64) == AttentionSpec(
        num_heads=4, num_kv_heads=1, head_dim=16, window=64, rope_theta=1e4, qk_norm=True
    )
    assert rules.operator("m2", hidden_size=64) == Mamba2Spec(num_heads=4, head_dim=32, state_size=24)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"head_dim": 0}, "head_dim must be a positive integer; got 0"),
        ({"head_dim": "64"}, "head_dim must be a positive integer; got '64'"),
        ({"conv_width": 2.5}, "conv_width must be a positive integer; got 2.5"),
        ({"ffn_expand": -1}, "ffn_expand must be a positive number"),
        ({"window": 0}, "window must be a positive integer; got 0"),
        ({"qk_norm": "no"}, "qk_norm must be true or false"),
        ({"ffn_activation": "swigul"}, "Did you mean 'swiglu'?"),
    ],
)
def test_an_impossible_rule_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        Dimensions(**arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("rules", "letter", "words"),
    [
        (Dimensions(head_dim=64), "a", "multiple of head_dim=64; got 1000. Nearest: 960, 1024."),
        (
            Dimensions(mamba_head_dim=96),
            "m2",
            "mamba_head_dim=96; got 2 × 1000 = 2000. Nearest widths: 960, 1008.",
        ),
        (Dimensions(ffn_expand=2.6666), "f", "ffn_expand × width must be whole"),
        (Dimensions(), "q", "Unknown operator letter 'q'"),
    ],
)
def test_a_width_that_does_not_divide_names_the_nearest(rules: Dimensions, letter: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        rules.operator(letter, hidden_size=1000)
    assert words in str(caught.value)


def test_a_window_without_sliding_window_attention_is_refused() -> None:
    rules = Dimensions(window=64)
    window = rules.operator("w", hidden_size=64)
    assert isinstance(window, AttentionSpec)
    assert window.window == 64
    DepthWidthSpace(depths=(1,), hidden_sizes=(64,), vocab_size=8, block="w f", dimensions=rules)
    with pytest.raises(SpecError, match="window=64 needs sliding-window attention, letter 'w'; got the letters m2, f"):
        DepthWidthSpace(depths=(1,), hidden_sizes=(64,), vocab_size=8, block="m2 f m2 f", dimensions=rules)
