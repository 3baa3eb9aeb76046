import dataclasses

import pytest

from dashboards.analysis.lineage import change_of, line_of
from dashboards.frame import PERPLEXITY


def with_parents(results, parents):
    trials = results.trials.copy()
    trials["parent"] = trials["number"].map(parents).astype("Int64")
    return dataclasses.replace(results, trials=trials)


def test_a_line_runs_from_where_it_began_to_the_candidate(results):
    line = line_of(with_parents(results, {20: 17, 17: 3}), 20)
    assert [row["number"] for row in line.rows] == [3, 17, 20]
    assert line.break_words == ""


def test_a_parent_that_is_not_among_the_results_is_said(results):
    line = line_of(with_parents(results, {20: 777}), 20)
    assert [row["number"] for row in line.rows] == [20]
    assert "#777 of #20 is not among" in line.break_words


def test_parents_in_a_circle_end_the_line_and_are_said(results):
    line = line_of(with_parents(results, {20: 17, 17: 20}), 20)
    assert [row["number"] for row in line.rows] == [17, 20]
    assert "circle" in line.break_words


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (30.0, 27.0, "−3.00 (−10.0%) better"),
        (30.0, 33.0, "+3.00 (+10.0%) worse"),
        (30.0, 30.0, "the same"),
        (0.0, 1.0, "+1.00 worse"),
        (None, 27.0, ""),
        (30.0, float("nan"), ""),
    ],
)
def test_a_change_is_told_with_its_sign_and_whether_it_is_better(before, after, words):
    change = change_of({"perplexity": before}, {"perplexity": after}, PERPLEXITY)
    assert change.words(decimals=2, unit="") == words
