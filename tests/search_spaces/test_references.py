from collections import Counter

import pytest

from search_spaces import (
    Architecture,
    AttentionSpec,
    FFNSpec,
    HybridHeadSpec,
    Mamba1Spec,
    Mamba2Spec,
    RopeScaling,
    SpecError,
    is_mixer,
    load_reference,
    parse_pattern,
    reference_names,
)
from search_spaces.references import load_reference_file, read_reference
from search_spaces.specs import kv_source

EIGHT_B = "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-"
NEMOTRON_H = {
    "nemotron-h-4b": EIGHT_B,
    "nemotron-h-8b": EIGHT_B,
    "nemotron-h-47b": "M-M-M-M-M-M-M-M-M*-M-M-M-M-M-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*"
    "-M-M-M-M-M-M-M---MM---M-M*-M-M-M-M-M-",
    "nemotron-h-56b": "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*"
    "-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-",
    "nemotron-nano-9b-v2": "M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-",
    "nemotron-nano-12b-v2": "M-M-M-M*-M-M-M-M*-M-M-M-M*-M-M-M-M*-M-M-M-M*-M-M-M-M*-M-M-M-M-",
}
"""The strings as published."""

OTHERS = {
    "nemotron-flash-1b": "d f m2 f a f m2 f d f m2 f a f m2 f d f m2 f d f m2 f",
    "nemotron-flash-3b": "d f m2 f a f m2 f d f m2 f a f m2 f d f m2 f a f m2 f d f m2 f d f m2 f d f m2 f",
    "hymba-1.5b": "(hh f)x32",
    "qwen3-0.6b": "(a f)x28",
    "qwen3-1.7b": "(a f)x28",
    "qwen2.5-0.5b": "(a f)x24",
    "qwen2.5-1.5b": "(a f)x28",
    "qwen2.5-3b": "(a f)x36",
    "llama-3.2-1b": "(a f)x16",
    "llama-3.2-3b": "(a f)x28",
    "smollm2-1.7b": "(a f)x24",
    "nemotron-4-340b": "(a f)x96",
}


def test_every_published_architecture_is_here() -> None:
    assert set(reference_names()) == {*NEMOTRON_H, *OTHERS, "mamba2-hybrid-8b"}


@pytest.mark.parametrize("name", reference_names())
def test_a_file_is_named_after_what_it_describes_and_survives_json(name: str) -> None:
    reference = load_reference_file(name)
    assert reference.name == name
    assert reference.source.startswith("arXiv ")
    architecture = load_reference(name)
    assert Architecture.from_dict(architecture.to_dict()) == architecture


@pytest.mark.parametrize(("name", "string"), NEMOTRON_H.items())
def test_the_nemotron_h_strings_are_spelled_letter_by_letter(name: str, string: str) -> None:
    letters = {"M": "m2", "*": "a", "-": "f"}
    assert load_reference(name).letters == tuple(letters[character] for character in string)


@pytest.mark.parametrize(("name", "depth"), [("nemotron-h-8b", 52), ("nemotron-h-56b", 118), ("nemotron-h-47b", 98)])
def test_the_nemotron_h_depths_are_those_published(name: str, depth: int) -> None:
    assert load_reference(name).depth == depth


@pytest.mark.parametrize(("name", "pattern"), OTHERS.items())
def test_the_other_orders_are_those_published(name: str, pattern: str) -> None:
    assert load_reference(name).letters == parse_pattern(pattern)


def test_the_mamba2_hybrid_has_the_shares_of_its_paper() -> None:
    assert Counter(load_reference("mamba2-hybrid-8b").letters) == {"m2": 24, "a": 4, "f": 28}


HEADS = {  # name: (width, query heads, KV heads, head width, FFN width, vocabulary)
    "nemotron-flash-1b": (2048, 16, 4, 128, 6144, 131072),
    "nemotron-flash-3b": (3072, 24, 6, 128, 9216, 131072),
    "nemotron-h-4b": (3072, 32, 8, 128, 12288, 131072),
    "nemotron-h-8b": (4096, 32, 8, 128, 21504, 131072),
    "nemotron-h-47b": (8192, 64, 8, 128, 30720, 131072),
    "nemotron-h-56b": (8192, 64, 8, 128, 32768, 131072),
    "nemotron-nano-9b-v2": (4480, 40, 8, 128, 15680, 131072),
    "nemotron-nano-12b-v2": (5120, 40, 8, 128, 20480, 131072),
    "mamba2-hybrid-8b": (4096, 32, 8, 128, 16384, 256000),
    "qwen3-0.6b": (1024, 16, 8, 128, 3072, 151936),
    "qwen3-1.7b": (2048, 16, 8, 128, 6144, 151936),
    "qwen2.5-0.5b": (896, 14, 2, 64, 4864, 151936),
    "qwen2.5-1.5b": (1536, 12, 2, 128, 8960, 151936),
    "qwen2.5-3b": (2048, 16, 2, 128, 11008, 151936),
    "llama-3.2-1b": (2048, 32, 8, 64, 8192, 128256),
    "llama-3.2-3b": (3072, 24, 8, 128, 8192, 128256),
    "smollm2-1.7b": (2048, 32, 32, 64, 8192, 49152),
    "nemotron-4-340b": (18432, 96, 8, 192, 73728, 256000),
}


@pytest.mark.parametrize("name", HEADS)
def test_attention_ffn_and_vocabulary_have_the_published_sizes(name: str) -> None:
    architecture = load_reference(name)
    attention = next(spec for spec in architecture.operators if isinstance(spec, AttentionSpec))
    ffn = next(spec for spec in architecture.operators if isinstance(spec, FFNSpec))
    assert HEADS[name] == (
        architecture.hidden_size,
        attention.num_heads,
        attention.num_kv_heads,
        attention.head_dim,
        ffn.intermediate_size,
        architecture.vocab_size,
    )


@pytest.mark.parametrize("name", [*NEMOTRON_H, "mamba2-hybrid-8b"])
def test_the_large_hybrids_are_untied_without_positions_and_with_eight_groups(name: str) -> None:
    architecture = load_reference(name)
    assert not architecture.tie_embeddings
    for spec in architecture.operators:
        match spec:
            case AttentionSpec():
                assert spec.rope_theta is None
            case Mamba2Spec():
                assert (spec.num_groups, spec.grouped_norm) == (8, True)
            case FFNSpec():
                assert not spec.is_gated


def test_llama_scales_its_frequencies() -> None:
    attention = load_reference("llama-3.2-1b").operators[0]
    assert isinstance(attention, AttentionSpec)
    assert attention.rope_theta == 500_000
    assert attention.rope_scaling == RopeScaling(factor=32)


def test_hymba_shares_keys_and_values_in_thirteen_pairs_and_a_triple() -> None:
    operators = load_reference("hymba-1.5b").operators
    readers = Counter(source for spec in operators if (source := kv_source(spec)) is not None)
    assert sorted(readers.values()) == [1] * 13 + [2]
    assert readers[2 * 16] == 2
    assert all(kv_source(operators[2 * layer]) is None and 2 * layer not in readers for layer in (0, 15, 31))


def test_hymba_sees_everything_in_three_layers_only() -> None:
    hybrids = [spec for spec in load_reference("hymba-1.5b").operators if isinstance(spec, HybridHeadSpec)]
    assert len(hybrids) == 32
    assert [layer for layer, spec in enumerate(hybrids) if spec.attention.window is None] == [0, 15, 31]
    assert {spec.attention.window for spec in hybrids} == {None, 1024}
    assert {spec.ssm for spec in hybrids} == {Mamba1Spec(inner_size=3200, state_size=16, dt_rank=100, inner_norms=True)}


def test_every_published_architecture_mixes_tokens() -> None:
    assert all(any(map(is_mixer, load_reference(name).operators)) for name in reference_names())


def test_an_unknown_name_names_the_near_miss() -> None:
    with pytest.raises(SpecError, match="Did you mean 'nemotron-flash-1b'"):
        load_reference("nemotron-flash-1B")


GOOD = """
schema_version: 1
name: tiny
source: nowhere
hidden_size: 64
vocab_size: 256
tie_embeddings: true
norm_eps: 1e-6
operators:
  w: {num_heads: 4, num_kv_heads: 2, head_dim: 16, window: 8}
  f: {intermediate_size: 64}
pattern: (w f)x3
full_attention: [2]
kv_sharing: [[0, 4]]
"""


def test_a_file_may_lift_windows_and_share_keys_and_values() -> None:
    architecture = read_reference(GOOD, where="tiny.yaml").architecture()
    assert architecture.letters == ("w", "f", "a", "f", "w", "f")
    assert kv_source(architecture.operators[4]) == 0
    assert architecture.norm_eps == 1e-6


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("schema_version: 1", "schema_version: 7", "schema_version must be 1; got 7"),
        ("vocab_size", "vocabulary_size", "Did you mean 'vocab_size'?"),
        ("name: tiny", "name: tiny\nname: small", "the key 'name' was given in line 3 already"),
        ("source: nowhere", "", "lacks source"),
        ("  f: {", "  d: {", "has no field 'intermediate_size'"),
        ("intermediate_size: 64", "intermediate_siz: 64", "Did you mean 'intermediate_size'?"),
        ("(w f)x3", "(w f)x3 a", "'a': operators lacks it"),
        ("(w f)x3", "w", "'f': the pattern never uses it"),
        ("  w: {", "  a: {", "must describe a 'a'; its fields describe a 'w'"),
        ("  w: {", "  z: {", "operators.z is an unknown letter"),
        ("full_attention: [2]", "full_attention: [1]", "full_attention must name operators that hold attention; got 1"),
        ("[[0, 4]]", "[[0, 9]]", "kv_sharing must name operators that hold attention; got 9"),
        ("[[0, 4]]", "[[1, 4]]", "must name an earlier attention"),
        ("(w f)x3", "[w, f]", "pattern must be text"),
    ],
)
def test_reading_a_file_is_strict(before: str, after: str, words: str) -> None:
    assert before in GOOD
    with pytest.raises(SpecError) as caught:
        read_reference(GOOD.replace(before, after), where="tiny.yaml").architecture()
    assert words in str(caught.value)
