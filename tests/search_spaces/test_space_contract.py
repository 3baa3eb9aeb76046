"""What every space promises the engine, whichever space it is. A new preset is tested by being there."""

import json
import pickle
from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import (
    FEATURE_NAMES,
    Architecture,
    ArchitectureSpace,
    DepthWidthSpace,
    Dimensions,
    FFNSpec,
    FreeBlocks,
    LayerwiseSpace,
    RatioBlocks,
    RepairingSpace,
    SearchSpace,
    StagedSpace,
    load_preset,
    preset_names,
)
from search_spaces.specs import with_kv_source

SMALL = Dimensions(head_dim=16, mamba_head_dim=16, mamba_state_size=16)
SPACES: dict[str, Any] = {
    **{name: load_preset(name) for name in preset_names()},
    "narrow staged": StagedSpace(
        blocks=RatioBlocks(mixers=("w", "d"), ffns_per_mixer=(0, 1)),
        hidden_sizes=(32, 64),
        vocab_size=256,
        min_operators=9,
        max_operators=9,
        max_repeats=5,
        dimensions=SMALL,
    ),
    "staged without FFNs": StagedSpace(
        blocks=FreeBlocks(mixers=("m1", "hh"), max_mixers=2, ffns_per_mixer=(0,)),
        hidden_sizes=(64,),
        vocab_size=256,
        max_operators=8,
        dimensions=SMALL,
        width_is_gene=False,
    ),
    "depth-width of hybrids": DepthWidthSpace(
        depths=(1, 2, 3), hidden_sizes=(32, 64), vocab_size=256, block="m2 f d", dimensions=SMALL
    ),
    "layerwise": LayerwiseSpace(
        hidden_sizes=(32, 64),
        letters=("a", "m2", "d", "f"),
        menu=(FFNSpec(intermediate_size=48),),
        min_operators=2,
        max_operators=6,
        vocab_size=256,
        num_meta_tokens=4,
        tie_embeddings=False,
        dimensions=SMALL,
    ),
}
each_space = pytest.mark.parametrize("name", SPACES)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=15)


def same(space: Any, first: Any, second: Any) -> bool:
    return space.decode(first).fingerprint() == space.decode(second).fingerprint()


@each_space
def test_a_space_is_what_the_engine_and_the_latency_table_ask_for(name: str) -> None:
    space = SPACES[name]
    for protocol in (SearchSpace, RepairingSpace, ArchitectureSpace):
        assert isinstance(space, protocol)
    assert isinstance(space.vocab_size, int)


@each_space
@few
@given(seed=seeds)
def test_samples_lie_in_the_space_and_are_drawn_from_the_seed_alone(name: str, seed: int) -> None:
    space = SPACES[name]
    genome = space.sample(rng=np.random.default_rng(seed))
    assert space.contains(genome)
    again = space.sample(rng=np.random.default_rng(seed))
    assert again == genome
    assert hash(again) == hash(genome)


@each_space
@few
@given(seed=seeds)
def test_a_mutant_lies_in_the_space_decodes_differently_and_says_why(name: str, seed: int) -> None:
    space = SPACES[name]
    rng = np.random.default_rng(seed)
    genome = space.sample(rng=rng)
    for _ in range(3):
        child, words = space.mutate(genome, rng=rng)
        assert space.contains(child)
        assert not same(space, genome, child)
        assert 0 < len(words) < 120
        assert words == words.strip()
        genome = child


@each_space
@few
@given(seed=seeds)
def test_a_mutation_is_drawn_from_the_seed_alone(name: str, seed: int) -> None:
    space = SPACES[name]
    genome = space.sample(rng=np.random.default_rng(seed))
    assert space.mutate(genome, rng=np.random.default_rng(seed)) == space.mutate(
        genome, rng=np.random.default_rng(seed)
    )


@each_space
@few
@given(seed=seeds)
def test_a_child_of_two_parents_lies_in_the_space(name: str, seed: int) -> None:
    space = SPACES[name]
    rng = np.random.default_rng(seed)
    first, second = space.sample(rng=rng), space.sample(rng=rng)
    child = space.crossover(first, second, rng=rng)
    assert space.contains(child)
    offered = {with_kv_source(spec, None).letter for one in (first, second) for spec in space.decode(one).operators}
    assert set(space.decode(child).letters) <= offered


@each_space
@few
@given(seed=seeds)
def test_a_genome_survives_json_and_pickling(name: str, seed: int) -> None:
    space = SPACES[name]
    genome = space.sample(rng=np.random.default_rng(seed))
    assert space.from_dict(json.loads(json.dumps(space.to_dict(genome)))) == genome
    assert pickle.loads(pickle.dumps(genome)) == genome


@each_space
@few
@given(seed=seeds)
def test_features_are_finite_and_of_one_length(name: str, seed: int) -> None:
    space = SPACES[name]
    features = space.features(space.sample(rng=np.random.default_rng(seed)))
    assert features.shape == (len(FEATURE_NAMES),)
    assert features.dtype == np.float64
    assert np.isfinite(features).all()


@each_space
@few
@given(seed=seeds)
def test_a_genome_decodes_to_a_model_of_the_spaces_own_vocabulary_and_head(name: str, seed: int) -> None:
    space = SPACES[name]
    architecture = space.decode(space.sample(rng=np.random.default_rng(seed)))
    assert isinstance(architecture, Architecture)
    assert architecture.vocab_size == space.vocab_size
    assert architecture.num_meta_tokens == space.num_meta_tokens
    assert architecture.tie_embeddings == space.tie_embeddings


@each_space
@few
@given(seed=seeds)
def test_encoding_a_decoded_genome_gives_the_same_candidate(name: str, seed: int) -> None:
    space = SPACES[name]
    genome = space.sample(rng=np.random.default_rng(seed))
    again = space.encode(space.decode(genome))
    assert space.contains(again)
    assert same(space, genome, again)


@each_space
@few
@given(seed=seeds)
def test_fit_gives_the_largest_width_that_meets(name: str, seed: int) -> None:
    space = SPACES[name]
    genome = space.sample(rng=np.random.default_rng(seed))
    for limit in (space.hidden_sizes[0], space.hidden_sizes[len(space.hidden_sizes) // 2], space.hidden_sizes[-1]):
        fitted = space.fit(genome, lambda candidate, limit=limit: candidate.hidden_size <= limit)
        assert fitted.hidden_size == limit
        assert space.contains(fitted)
        assert space.decode(fitted).letters == space.decode(genome).letters
    assert space.fit(genome, lambda _: False) is None


@each_space
def test_a_space_survives_pickling_after_use(name: str) -> None:
    space = SPACES[name]
    genome = space.sample(rng=np.random.default_rng(0))
    again = pickle.loads(pickle.dumps(space))
    assert again == space
    assert again.sample(rng=np.random.default_rng(0)) == genome


@cache
def listed(name: str) -> list[Any]:
    return list(SPACES[name].distinct_operators())


@each_space
def test_every_operator_is_listed_once(name: str) -> None:
    assert max(Counter(listed(name)).values()) == 1


@each_space
@few
@given(seed=seeds)
def test_every_operator_of_a_sample_is_listed(name: str, seed: int) -> None:
    architecture = SPACES[name].decode(SPACES[name].sample(rng=np.random.default_rng(seed)))
    known = set(listed(name))
    assert all((architecture.hidden_size, with_kv_source(spec, None)) in known for spec in architecture.operators)


@pytest.mark.parametrize("name", [name for name in SPACES if name != "published"])
def test_every_listed_operator_is_needed_by_some_genome(name: str) -> None:
    space = SPACES[name]
    rng = np.random.default_rng(0)
    needed = set()
    for _ in range(600):
        genome = space.sample(rng=rng)
        for width in space.hidden_sizes:
            fitted = space.fit(genome, lambda candidate, width=width: candidate.hidden_size == width)
            needed.update((width, spec) for spec in space.decode(fitted).operators)
        if needed == set(listed(name)):
            return
    assert needed == set(listed(name))


def test_the_decode_preset_needs_seven_widths_of_four_operators() -> None:
    assert len(listed("flash-1b-decode")) == 7 * 4
