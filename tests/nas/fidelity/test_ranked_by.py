from dataclasses import replace
from pathlib import Path

import pytest

from nas.fidelity.ranked_by import judged, ranked_by
from nas.fidelity.rows import FidelityRow
from nas.fidelity.statistics import compare
from proxies.traits import size_trait
from tests.nas.fidelity.test_report import made_report

RUN = Path("runs/demo")


def report(*, raw, projected, share, num=12):
    """Of so many candidates, with these correlations."""
    made = made_report()
    longest = made.longest
    scores = {
        name: replace(longest.scores[name], spearman=replace(longest.scores[name].spearman, value=value))
        for name, value in (("perplexity", raw), ("projection", projected))
    }
    comparison = replace(
        longest,
        trials=tuple(range(num)),
        scores=scores,
        projection_beats_perplexity=share,
        perplexity_beats_projection=1 - share if raw != projected else 0.0,
    )
    return replace(made, comparisons=(comparison,))


def test_without_longer_trainings_nothing_is_claimed_and_the_command_is_named(tmp_path):
    found = ranked_by(tmp_path)
    assert found["score"] == "raw perplexity"
    assert "nothing of this run was trained longer" in found["why"]
    assert f"nas proxy fidelity {tmp_path}" in found["why"]


def test_of_trainings_that_were_too_few_for_a_record_it_is_not_said_that_there_were_none(tmp_path):
    (tmp_path / "fidelity").mkdir()
    (tmp_path / "fidelity" / "study.journal").touch()
    assert "too little of this run was trained longer" in ranked_by(tmp_path)["why"]


def test_the_run_s_own_record_is_what_is_judged(tmp_path):
    made_report().save(tmp_path)
    assert "over 8 candidates trained 4 times as long" in ranked_by(tmp_path)["why"]


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.97, "rank by it with nas proxy score runs/demo"),
        (0.6, "does not tell the two apart"),
        (0.02, "raw is the better one here"),
    ],
)
def test_the_verdict_follows_from_the_draws(share, words):
    said = judged(report(raw=0.5, projected=0.75, share=share), path=RUN)
    assert "Spearman correlation of 0.75 out of sample and raw with 0.50" in said
    assert f"projected is better in {share:.0%} of the draws" in said
    assert said.endswith(words)


def test_where_projecting_changes_no_order_neither_is_called_the_better_one():
    assert judged(report(raw=0.7, projected=0.7, share=0.0), path=RUN).endswith("does not tell the two apart")


def test_a_few_candidates_choose_nothing():
    for share in (0.0, 1.0):
        assert "of too few candidates to choose by" in judged(
            report(raw=0.5, projected=0.7, share=share, num=9), path=RUN
        )


def test_where_size_hides_behind_short_training_projection_is_found_to_rank_better():
    rows = [
        FidelityRow(
            trial=trial,
            pattern="a",
            is_frontier=False,
            perplexity=20.0 + (trial * 7) % 12,
            num_parameters=1000 * 2**trial,
            traits=size_trait(1000 * 2**trial),
            scores={"num_parameters": -1.0, "flops_per_token": -1.0},
            trained={4.0: {1000: (20.0 + (trial * 7) % 12) * 0.8**trial}},
        )
        for trial in range(12)
    ]
    comparison = compare(rows, times=4.0, lengths=(4.0,), seed=0)
    assert "rank by it" in judged(replace(made_report(), comparisons=(comparison,)), path=RUN)
