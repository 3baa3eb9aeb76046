import numpy as np
import pytest

from search_spaces import (
    FEATURE_NAMES,
    architecture_features,
    architecture_from_pattern,
    load_reference,
    reference_names,
)


def named(name: str, pattern: str, *, hidden_size: int = 64) -> float:
    architecture = architecture_from_pattern(pattern, hidden_size=hidden_size, vocab_size=256)
    return float(architecture_features(architecture)[FEATURE_NAMES.index(name)])


def test_the_features_say_what_their_names_say() -> None:
    pattern = "a f a f m2 f d d f"
    assert named("log2_hidden_size", pattern) == 6
    assert named("depth", pattern) == 9
    assert named("ffn_share", pattern) == pytest.approx(4 / 9)
    assert named("log2_mixer_channels", pattern) == pytest.approx(np.log2(1 + 4 * 64 + 128))
    assert named("log2_ffn_channels", pattern) == pytest.approx(np.log2(1 + 4 * 192))
    assert [named(f"{third}_a", pattern) for third in ("early", "middle", "late")] == [2, 0, 0]
    assert [named(f"{third}_f", pattern) for third in ("early", "middle", "late")] == [1, 2, 1]
    assert named("late_d", pattern) == 2
    assert [named(f"{third}_a", "a a a a") for third in ("early", "middle", "late")] == [2, 1, 1]


@pytest.mark.parametrize("name", reference_names())
def test_the_counts_add_up_to_the_depth(name: str) -> None:
    architecture = load_reference(name)
    features = architecture_features(architecture)
    assert features.shape == (len(FEATURE_NAMES),)
    assert features[FEATURE_NAMES.index("early_a") :].sum() == architecture.depth


def test_dimensions_show_where_letters_do_not() -> None:
    narrow, wide = load_reference("nemotron-h-8b"), load_reference("nemotron-h-4b")
    assert narrow.letters == wide.letters
    assert not np.array_equal(architecture_features(narrow), architecture_features(wide))
