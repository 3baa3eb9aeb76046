import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.proxy_fidelity import (
    EQUAL_SIZE,
    LONG,
    NON_EMBEDDING,
    NUM_MODELS,
    POPULATION,
    PROXY,
    RAW,
    SHORT,
    Model,
    compare,
    population,
    train_all,
)
from operators.cost import num_parameters
from proxies.fidelity import EQUAL_PARAMETERS
from proxies.settings import TrainingSettings
from proxies.traits import size_trait
from proxies.zero_cost import SALIENCIES, ZERO_COST_SCORES


def made_up(rank, *, num=32, seed=0):
    """Models of which half are of one size, and whose short perplexity is what `rank` makes of the long one."""
    rng = np.random.default_rng(seed)
    models = []
    for place in range(num):
        long = float(rng.uniform(4, 8))
        parameters = 100_000.0 if place >= num // 2 else float(rng.uniform(30_000, 500_000))
        models.append(
            Model(
                is_equal=place >= num // 2,
                num_parameters=parameters,
                traits=size_trait(parameters),
                short=rank(long, rng),
                long=long,
                cpu_s=1.0,
                free={name: -float(rng.uniform(1, 2)) for name in ZERO_COST_SCORES},
            )
        )
    return models


def test_the_models_are_many_distinct_and_half_of_one_size():
    models = population(NUM_MODELS, seed=POPULATION)
    assert len({model.fingerprint() for model, _ in models}) == NUM_MODELS >= 32
    alike = [num_parameters(model) for model, is_equal in models if is_equal]
    assert len(alike) == NUM_MODELS // 2
    assert all(abs(size / EQUAL_SIZE - 1) <= EQUAL_PARAMETERS for size in alike)
    sizes = [num_parameters(model) for model, is_equal in models if not is_equal]
    assert max(sizes) > 4 * min(sizes)


def test_the_seed_of_the_models_decides_them():
    first, again, other = (population(8, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_short_training_is_the_proxy_as_shipped_and_the_long_one_sees_ten_times_its_tokens():
    assert replace(TrainingSettings(), device="cpu") == SHORT
    assert LONG.total_tokens == 10 * SHORT.total_tokens
    assert replace(LONG, steps=SHORT.steps) == SHORT


def test_a_proxy_that_orders_as_long_training_does_keeps_every_claim():
    _, claims = compare(made_up(lambda long, rng: long * 3))
    assert [claim.claim for claim in claims if not claim.holds] == []


def test_a_proxy_that_knows_less_than_parameters_do_keeps_none():
    models = made_up(lambda long, rng: float(rng.uniform(4, 8)))
    _, claims = compare([replace(model, free={**model.free, NON_EMBEDDING: model.long}) for model in models])
    assert [claim.claim for claim in claims if claim.holds] == []


def test_every_score_is_shown_over_all_and_over_those_of_one_size():
    figures, _ = compare(made_up(lambda long, rng: long * float(rng.uniform(0.9, 1.1))))
    for group in ("all", "of one size"):
        for score in (PROXY, RAW, NON_EMBEDDING, *SALIENCIES):
            low, value, high = (figures[f"{group}, {score}: {name}"].value for name in ("from", "Spearman", "to"))
            assert -1 <= low <= value <= high <= 1
    assert figures["of one size: parameters, most"].value == 100_000


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    brief = replace(SHORT, steps=2, sequence_tokens=32, validation_sequences=2)
    settings = {"short": brief, "long": replace(brief, steps=20)}
    keep = tmp_path_factory.mktemp("kept") / "trained.jsonl"
    models = population(2, seed=0)
    return models, settings, keep, train_all(models, **settings, num_processes=1, keep=keep)


def test_what_is_trained_keeps_its_place(trained):
    models, _, _, found = trained
    assert [one.num_parameters for one in found] == [num_parameters(model) for model, _ in models]
    assert [one.is_equal for one in found] == [False, True]


def test_the_longer_training_ends_lower_and_scores_without_training_are_there(trained):
    *_, found = trained
    assert all(one.long < one.short for one in found)
    assert all(set(one.free) == set(ZERO_COST_SCORES) for one in found)


def test_what_was_trained_before_it_was_cut_short_is_not_trained_again(trained):
    models, settings, keep, found = trained
    lines = keep.read_text().splitlines(keepends=True)
    assert len(lines) == 4
    keep.write_text("".join(lines[:3]))
    continued = train_all(models, **settings, num_processes=1, keep=keep)
    assert [(one.short, one.long) for one in continued] == [(one.short, one.long) for one in found]
    again = keep.read_text().splitlines(keepends=True)
    assert again[:3] == lines[:3]
    assert json.loads(again[3])["perplexity"] == json.loads(lines[3])["perplexity"]
