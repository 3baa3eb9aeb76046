"""A space of which only what other engines can hold is proposed."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
import yaml

from nas.candidates import Evaluated
from nas.config import load_config
from nas.engine import run
from nas.errors import ConfigError, InfeasibleError
from nas.evolution.registry import make_strategy
from nas.evolution.strategy import Problem
from nas.executors.inprocess import InProcessExecutor
from nas.export.exporter import exporters
from nas.expressible_space import EnumerableExpressibleSpace, ExpressibleSpace, expressible
from nas.search import _initial_genomes
from nas.study import Study
from search_spaces import EnumerableSpace, RepairingSpace, SuggestingSpace
from search_spaces.presets import load_preset, space_from_dict

MIXED = {
    "schema_version": 1,
    "space": "staged",
    "blocks": {"grammar": "free", "mixers": ["a", "m2", "d"], "max_mixers": 2, "ffns_per_mixer": [0, 1]},
    "num_stages": 2,
    "max_operators": 8,
    "hidden_sizes": [32, 48, 64],
    "vocab_size": 300,
    "dimensions": {"head_dim": 16, "mamba_head_dim": 16, "mamba_state_size": 8, "ffn_activation": "relu2"},
}


def space_for(*formats, **changes):
    return expressible(space_from_dict(MIXED | changes), exporters=[exporters()[name] for name in formats])


def can_be_exported(space, genome):
    return space.contains(genome) and not exporters()["nemotron-h"].obstacles(space.decode(genome))


def test_every_sample_child_and_cross_can_be_exported():
    space, rng = space_for("nemotron-h"), np.random.default_rng(0)
    plain = space_from_dict(MIXED)
    assert any(not can_be_exported(space, plain.sample(rng=rng)) for _ in range(20))
    parents = [space.sample(rng=rng) for _ in range(20)]
    for first, second in pairwise(parents):
        child, words = space.mutate(first, rng=rng)
        assert words
        assert child != first
        for genome in (first, child, space.crossover(first, second, rng=rng)):
            assert can_be_exported(space, genome)


@pytest.mark.parametrize("strategy", ["frontier", "aging", "random", "surrogate", "nsga2"])
def test_every_candidate_of_a_search_can_be_exported(strategy):
    space = space_for("nemotron-h")

    def width(genome):
        return {"width": float(genome.hidden_size)}

    problem = Problem(
        space=space,
        expensive=("error",),
        cheap=width,
        cheap_objectives=("width",),
        constraints={"width": 48.0},
    )
    study = Study(space=space, objectives=problem.objectives)
    settings = {} if strategy == "random" else {"population_size": 6}
    run(
        problem,
        make_strategy(strategy, problem, settings | ({"tournament_size": 3} if strategy == "aging" else {})),
        study=study,
        executor=InProcessExecutor(lambda genome, _: Evaluated(objectives={"error": 1.0 + len(genome.letters)})),
        num_evaluations=24,
        num_repeats=0,
        seed=0,
    )
    records = list(study.history())
    assert len(records) == 24
    assert {record.candidate.proposal.origin for record in records} - {"random", "seed"} or strategy == "random"
    assert all(can_be_exported(space, record.genome) for record in records)


def test_the_space_keeps_what_it_can_do_and_gains_nothing():
    space = space_for("nemotron-h")
    assert isinstance(space, RepairingSpace)
    assert isinstance(space, SuggestingSpace)
    assert not isinstance(space, EnumerableSpace)
    assert (space.vocab_size, space.num_meta_tokens) == (300, 0)
    genome = space.sample(rng=np.random.default_rng(1))
    assert space.from_dict(space.to_dict(genome)) == genome
    assert space.encode(space.decode(genome)) is not None
    assert pickle.loads(pickle.dumps(space)).contains(genome)


def test_repair_returns_what_can_be_exported():
    space = space_for("nemotron-h")
    genome = space.sample(rng=np.random.default_rng(2))
    assert space.fit(genome, lambda found: found.hidden_size <= 48).hidden_size == 48
    without_attention = next(
        found
        for found in (space.space.sample(rng=np.random.default_rng(seed)) for seed in range(99))
        if "a" not in found.letters
    )
    assert space.fit(without_attention, lambda _: True) is None


def test_a_grid_lists_only_what_can_be_exported():
    grid = space_from_dict(
        {
            "schema_version": 1,
            "space": "depth_width",
            "block": "a f",
            "depths": [1, 2],
            "hidden_sizes": [32, 48],
            "vocab_size": 50,
            "dimensions": {"head_dim": 16, "rope_theta": 1e4},
        }
    )
    space = expressible(grid, exporters=[exporters()["llama"]])
    assert isinstance(space, EnumerableExpressibleSpace)
    assert len(space.genomes()) == 4
    with pytest.raises(InfeasibleError, match="set qk_norm to true"):
        expressible(grid, exporters=[exporters()["qwen3"]]).genomes()


def test_a_space_that_holds_nothing_of_the_kind_says_what_to_change():
    blocks = MIXED["blocks"] | {"ffns_per_mixer": [1]}
    with pytest.raises(InfeasibleError, match=r"exported as granite .* of 2000 random ones none can[\s\S]*to swiglu"):
        space_for("granite", blocks=blocks).sample(rng=np.random.default_rng(0))


def test_two_formats_must_both_hold_a_candidate():
    with pytest.raises(InfeasibleError, match="exported as nemotron-h and bamba"):
        space_for("nemotron-h", "bamba").sample(rng=np.random.default_rng(0))


def test_a_space_for_nemotron_flash_sets_its_epsilon():
    dimensions = MIXED["dimensions"] | {"ffn_activation": "swiglu"}
    fitting = {"dimensions": dimensions, "blocks": MIXED["blocks"] | {"mixers": ["m2", "d"]}}
    with pytest.raises(InfeasibleError, match="set norm_eps of the architecture to 1e-05"):
        space_for("nemotron-flash", **fitting).sample(rng=np.random.default_rng(0))
    space = space_for("nemotron-flash", **fitting, norm_eps=1e-5)
    assert space.decode(space.sample(rng=np.random.default_rng(0))).norm_eps == 1e-5


def test_a_configuration_demands_formats_by_name():
    assert load_config("quick-cpu").proposal_space() == load_preset("quick-cpu")
    space = load_config("quick-cpu", overrides=["export=[nemotron-flash, hf]"]).proposal_space()
    assert isinstance(space, ExpressibleSpace)
    assert [exporter.name for exporter in space.exporters] == ["nemotron-flash", "hf"]
    with pytest.raises(ConfigError, match="Did you mean 'nemotron-h'"):
        load_config("quick-cpu", overrides=["export=[nemotron]"])


def test_a_seed_that_cannot_be_exported_is_named_with_its_obstacle(tmp_path):
    space, rng = space_for("nemotron-h"), np.random.default_rng(0)
    genome = next(g for g in (space.space.sample(rng=rng) for _ in range(99)) if not can_be_exported(space, g))
    seed = tmp_path / "seed.yaml"
    seed.write_text(yaml.safe_dump(space.decode(genome).to_dict()))
    config = load_config("quick-cpu").model_copy(update={"seeds": (str(seed),)})
    with pytest.raises(ConfigError, match="cannot be exported as `export` demands"):
        _initial_genomes(config, space)
