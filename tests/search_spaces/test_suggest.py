"""What the project's own spaces promise samplers that know parameters and no genomes."""

from typing import Any

import optuna
import pytest

from search_spaces import (
    DepthWidthSpace,
    Dimensions,
    FFNSpec,
    FreeBlocks,
    LayerwiseSpace,
    RatioBlocks,
    StagedSpace,
    SuggestingSpace,
    load_preset,
    preset_names,
)

SMALL = Dimensions(head_dim=16, mamba_head_dim=16, mamba_state_size=16)
SPACES: dict[str, Any] = {
    **{name: load_preset(name) for name in preset_names()},
    "ratios": StagedSpace(
        blocks=RatioBlocks(mixers=("w", "d", "m2")), hidden_sizes=(32, 64), vocab_size=256, dimensions=SMALL
    ),
    "one mixer": StagedSpace(
        blocks=RatioBlocks(mixers=("d",)), hidden_sizes=(64,), vocab_size=256, max_operators=6, dimensions=SMALL
    ),
    "free": StagedSpace(
        blocks=FreeBlocks(mixers=("a", "d"), max_mixers=2),
        hidden_sizes=(32, 64),
        vocab_size=256,
        max_operators=8,
        dimensions=SMALL,
        width_is_gene=False,
    ),
    "depth-width": DepthWidthSpace(depths=(1, 2, 3), hidden_sizes=(32, 64), vocab_size=256, dimensions=SMALL),
    "layerwise": LayerwiseSpace(
        hidden_sizes=(32, 64),
        letters=("a", "m2", "f"),
        menu=(FFNSpec(intermediate_size=48),),
        min_operators=2,
        max_operators=5,
        vocab_size=256,
        dimensions=SMALL,
    ),
}
each_space = pytest.mark.parametrize("name", SPACES)


def drawn(space: Any, num: int) -> tuple[list[Any], list[optuna.trial.FrozenTrial]]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(num)]
    return [space.suggest(trial) for trial in trials], study.get_trials()


@each_space
def test_most_of_what_is_suggested_lies_in_the_space(name: str) -> None:
    space = SPACES[name]
    assert isinstance(space, SuggestingSpace)
    genomes, _ = drawn(space, 40)
    assert sum(space.contains(genome) for genome in genomes) >= 20
    for genome in genomes:
        space.decode(genome)


@each_space
def test_every_trial_is_asked_for_the_same_parameters(name: str) -> None:
    _, trials = drawn(SPACES[name], 20)
    assert all(trial.distributions == trials[0].distributions for trial in trials)


@each_space
def test_the_same_parameters_give_the_same_genome(name: str) -> None:
    genomes, trials = drawn(SPACES[name], 10)
    assert [SPACES[name].suggest(optuna.trial.FixedTrial(trial.params)) for trial in trials] == genomes


def test_every_point_of_a_grid_can_be_suggested() -> None:
    genomes, _ = drawn(SPACES["depth-width"], 100)
    assert len(set(genomes)) == 6


def test_every_width_and_every_number_of_stages_can_be_suggested() -> None:
    genomes, _ = drawn(SPACES["ratios"], 100)
    assert {(genome.hidden_size, len(genome.stages)) for genome in genomes} == {
        (width, stages) for width in (32, 64) for stages in (1, 2, 3)
    }


def test_a_stage_of_a_larger_share_repeats_more_often() -> None:
    trial = optuna.trial.FixedTrial(
        {"width": 0, "depth": 12, "stages": 2}
        | {f"stage {stage} ratio": 0 for stage in (1, 2, 3)}
        | {f"stage {stage} {place} mixer": "d" for stage in (1, 2, 3) for place in ("first", "second")}
        | {f"stage {stage} FFNs": 1 for stage in (1, 2, 3)}
        | {"stage 1 share": 1, "stage 2 share": 5, "stage 3 share": 8}
    )
    assert SPACES["ratios"].suggest(trial).pattern == "(d f)x1 (d f)x5"


def test_a_kind_given_twice_is_paired_with_the_next() -> None:
    block = SPACES["ratios"].blocks.suggest(
        optuna.trial.FixedTrial({"b ratio": 3, "b first mixer": "m2", "b second mixer": "m2", "b FFNs": 0}), name="b"
    )
    assert block.letters == ("w", "m2", "m2", "m2")


def test_stages_too_many_for_the_depth_are_left_out() -> None:
    genomes, trials = drawn(SPACES["free"], 100)
    shortened = [
        genome for genome, trial in zip(genomes, trials, strict=True) if len(genome.stages) < trial.params["stages"]
    ]
    assert shortened
    assert all(genome.depth <= 8 for genome in genomes)
