import dataclasses

from dashboards.analysis.lineage import line_of
from dashboards.figures.line import MOST_LABELS, line_figure
from dashboards.frame import PERPLEXITY


def chained(results, numbers):
    parents = dict(zip(numbers[1:], numbers[:-1], strict=True))
    trials = results.trials.copy()
    trials["parent"] = trials["number"].map(parents).astype("Int64")
    return dataclasses.replace(results, trials=trials)


def test_each_objective_has_its_values_along_the_line(results):
    study = chained(results, [3, 17, 20])
    figure = line_figure(study, line_of(study, 20))
    values = study.trials.set_index("number").loc[[3, 17, 20]]
    assert [list(trace.y) for trace in figure.data] == [values["perplexity"].tolist(), values["latency_ms"].tolist()]
    assert all(list(trace.customdata) == [3, 17, 20] for trace in figure.data)
    assert list(figure.layout.xaxis2.ticktext) == ["#3", "#17", "#20"]


def test_a_failed_ancestor_leaves_a_gap_and_no_value(results):
    study = chained(results, [3, 5, 20])
    figure = line_figure(study, line_of(study, 20))
    assert figure.data[0].y[1] is None


def test_a_study_of_one_objective_has_one_panel(results):
    study = dataclasses.replace(chained(results, [3, 17, 20]), objectives=(PERPLEXITY,))
    assert len(line_figure(study, line_of(study, 20)).data) == 1


def test_a_long_line_writes_evenly_chosen_numbers_with_both_ends(results):
    numbers = list(range(40))
    study = chained(results, numbers)
    labels = list(line_figure(study, line_of(study, 39)).layout.xaxis2.ticktext)
    assert (labels[0], labels[-1], len(labels)) == ("#0", "#39", MOST_LABELS)


def test_a_candidate_without_parent_is_said(results):
    figure = line_figure(results, line_of(results, 3))
    assert "no parent" in figure.layout.annotations[0].text
