import json
from typing import Any

import pytest

from search_spaces import (
    FFNSpec,
    LayerwiseSpace,
    SpecError,
    load_preset,
    load_reference,
    preset_names,
    reference_names,
    space_from_dict,
    space_to_dict,
)
from search_spaces.specs import with_kv_source


def test_the_presets_are_those_documented() -> None:
    assert preset_names() == (
        "depth-width-llama",
        "flash-1b-decode",
        "flash-1b-decode-relaxed",
        "published",
        "quick-cpu",
    )


@pytest.mark.parametrize("name", preset_names())
def test_a_space_survives_json(name: str) -> None:
    space = load_preset(name)
    assert space_from_dict(json.loads(json.dumps(space_to_dict(space)))) == space


def test_the_decode_preset_has_the_papers_limits() -> None:
    space = load_preset("flash-1b-decode")
    assert space.hidden_sizes == (1024, 1280, 1536, 1792, 2048, 2304, 2560)
    assert (space.num_stages, space.max_operators, space.width_is_gene) == (3, 30, False)
    assert space.blocks.mixers == ("w", "m2", "d")
    assert space.blocks.ratios == ((0, 1), (1, 1), (1, 2), (1, 3))
    assert (space.vocab_size, space.num_meta_tokens, space.tie_embeddings) == (131072, 256, True)
    assert space.dimensions.window == 512


def test_the_published_space_offers_every_operator_and_width_of_the_references() -> None:
    space = load_preset("published")
    architectures = [load_reference(name) for name in reference_names()]
    assert space.hidden_sizes == tuple(sorted({one.hidden_size for one in architectures}))
    assert set(space.menu) == {with_kv_source(spec, None) for one in architectures for spec in one.operators}
    assert space.max_operators == max(one.depth for one in architectures)


def test_a_menu_entry_is_an_operator_or_a_published_architecture() -> None:
    space = space_from_dict(
        {
            "schema_version": 1,
            "space": "layerwise",
            "hidden_sizes": [64],
            "vocab_size": 256,
            "menu": ["qwen3-0.6b", {"kind": "ffn", "intermediate_size": 99}],
        }
    )
    assert isinstance(space, LayerwiseSpace)
    assert space.menu == (*load_reference("qwen3-0.6b").operators[:2], FFNSpec(intermediate_size=99))


STAGED: dict[str, Any] = {
    "schema_version": 1,
    "space": "staged",
    "blocks": {"grammar": "free", "mixers": ["a"]},
    "hidden_sizes": [64],
    "vocab_size": 256,
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 3}, "schema_version must be 1; got 3"),
        ({"schema_version": None}, "schema_version must be 1; got None"),
        ({"space": "stagged"}, "Did you mean 'staged'?"),
        ({"space": ["staged"]}, "unknown kind"),
        ({"max_operator": 3}, "Did you mean 'max_operators'?"),
        ({"blocks": {"grammar": "fre", "mixers": ["a"]}}, "Did you mean 'free'?"),
        ({"blocks": {"grammar": "free", "mixer": ["a"]}}, "Did you mean 'mixers'?"),
        ({"blocks": {"mixers": ["a"]}}, "unknown grammar None"),
        ({"blocks": "free"}, "blocks must be a mapping"),
        ({"blocks": {"grammar": "free", "mixers": ["a", "f"]}}, "FFNs are counted by ffns_per_mixer"),
        ({"dimensions": {"headdim": 64}}, "Did you mean 'head_dim'?"),
        ({"dimensions": 64}, "dimensions must be a mapping"),
        ({"hidden_sizes": [65]}, "Nearest: 64, 128"),
        ({"space": "layerwise", "blocks": None}, "has no field 'blocks'"),
        ({"space": "depth_width"}, "has no field 'blocks'"),
    ],
)
def test_reading_a_space_is_strict(change: dict[str, Any], words: str) -> None:
    assert space_from_dict(STAGED)
    with pytest.raises(SpecError) as caught:
        space_from_dict({**STAGED, **change})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("menu", "words"),
    [
        (["qwen3-06b"], "Did you mean 'qwen3-0.6b'?"),
        ([{"kind": "fnn"}], "menu[0] has the unknown kind 'fnn'"),
        ("qwen3-0.6b", "menu must be a list"),
    ],
)
def test_reading_a_menu_is_strict(menu: Any, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        space_from_dict(
            {"schema_version": 1, "space": "layerwise", "hidden_sizes": [64], "vocab_size": 256, "menu": menu}
        )
    assert words in str(caught.value)


def test_a_missing_part_and_an_unknown_preset_are_named() -> None:
    with pytest.raises(SpecError, match="lacks blocks"):
        space_from_dict({key: value for key, value in STAGED.items() if key != "blocks"})
    with pytest.raises(SpecError, match="must be a mapping; got str"):
        space_from_dict("staged")
    with pytest.raises(SpecError, match="Did you mean 'quick-cpu'"):
        load_preset("quick_cpu")
