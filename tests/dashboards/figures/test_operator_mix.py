import dataclasses

import pytest

from dashboards.analysis.genes import operator_counts
from dashboards.analysis.selection import frontier
from dashboards.figures import operator_mix
from dashboards.figures.operator_mix import num_left_out, operator_mix_figure
from dashboards.operators_style import style_of


def shares(figure, side):
    """By candidate the sum of its bar."""
    found = {}
    for trace in figure.data:
        if trace.xaxis == f"x{side}":
            for number, value in zip(trace.customdata, trace.x, strict=True):
                found[number] = found.get(number, 0) + value
    return found


def test_every_member_has_two_whole_bars_from_cheap_to_dear(results):
    figure = operator_mix_figure(results)
    members = frontier(results)["number"].tolist()
    for side in ("", "2"):
        bars = shares(figure, side)
        assert list(bars) == members
        assert list(bars.values()) == pytest.approx([1] * len(members))
    assert list(figure.layout.yaxis.range) == [len(members) - 0.5, -0.5]


def test_shares_are_those_of_the_pattern(results):
    row = frontier(results).iloc[0]
    counts = operator_counts(row["pattern"])
    left = [trace for trace in operator_mix_figure(results).data if trace.xaxis == "x"]
    drawn = {trace.legendgroup: trace.x[0] for trace in left if trace.x[0]}
    assert drawn == pytest.approx({name: times / row["depth"] for name, times in counts.items()})


def test_kinds_differ_by_letter_and_hatching_not_only_by_colour(results):
    for trace in operator_mix_figure(results).data:
        style = style_of(trace.legendgroup)
        assert trace.marker.pattern.shape == (style.hatch or None) or trace.marker.pattern.shape == style.hatch
        assert set(trace.text) <= {"", f"<b>{style.letter}</b>"}
    names = [trace.legendgroup for trace in operator_mix_figure(results).data if trace.showlegend]
    assert len(set(names)) == len(names)


def test_a_long_frontier_is_sampled_with_both_ends(results, monkeypatch):
    monkeypatch.setattr(operator_mix, "MAX_ROWS", 4)
    members = frontier(results)["number"].tolist()
    drawn = list(shares(operator_mix_figure(results), ""))
    assert len(drawn) == 4
    assert (drawn[0], drawn[-1]) == (members[0], members[-1])
    assert num_left_out(results) == len(members) - 4


def test_garbled_latency_hides_only_its_own_bar(results):
    trials = results.trials.copy()
    number = frontier(results)["number"].iloc[1]
    trials.loc[trials["number"] == number, "latency_by_operator"] = "{"
    figure = operator_mix_figure(dataclasses.replace(results, trials=trials))
    assert shares(figure, "2")[number] == 0
    assert shares(figure, "")[number] == pytest.approx(1)


def test_garbled_patterns_are_left_out(results):
    trials = results.trials.copy()
    number = frontier(results)["number"].iloc[1]
    trials.loc[trials["number"] == number, "pattern"] = "(a"
    assert number not in shares(operator_mix_figure(dataclasses.replace(results, trials=trials)), "")


def test_without_latency_by_operator_there_is_one_plot(results):
    figure = operator_mix_figure(dataclasses.replace(results, trials=results.trials.assign(latency_by_operator=None)))
    assert {trace.xaxis for trace in figure.data} == {"x"}


def test_nothing_to_count_is_said(empty_results, failed_results, foreign_results):
    for nothing in (empty_results, failed_results, foreign_results):
        assert "no architecture" in operator_mix_figure(nothing).layout.annotations[0].text
