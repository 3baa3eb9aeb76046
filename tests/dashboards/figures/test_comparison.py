import dataclasses

import pytest

from dashboards.figures.comparison import comparison_figure


@pytest.mark.parametrize("difference", [7.7, -7.7])
def test_the_comparison_shows_both_halves_whichever_way_it_went(results, difference):
    comparison = dataclasses.replace(
        results.comparison, evolved_hypervolume=101.2 + difference, difference=difference, sentence="A verdict."
    )
    figure = comparison_figure(dataclasses.replace(results, comparison=comparison))
    assert {trace.y[0]: trace.x[0] for trace in figure.data} == {"random": 101.2, "evolved": 101.2 + difference}
    assert all(trace.error_x.value == 1.9 for trace in figure.data)


def test_noise_that_was_not_measured_gets_no_whisker(results):
    comparison = dataclasses.replace(results.comparison, noise=None)
    figure = comparison_figure(dataclasses.replace(results, comparison=comparison))
    assert not any(trace.error_x.visible for trace in figure.data)


def test_before_both_halves_are_complete_it_says_so(empty_results):
    figure = comparison_figure(empty_results)
    assert not figure.data
    assert [annotation.text for annotation in figure.layout.annotations] == ["Answered once both halves are complete."]
