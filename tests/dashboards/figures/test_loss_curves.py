from dashboards.figures.loss_curves import TrialCurve, loss_curves_figure

CURVE = ((10.0, 3.0, None), (20.0, 2.8, 2.9), (30.0, 2.6, 2.7))


def test_one_candidate_shows_validation_over_training_and_the_frontier_behind():
    figure = loss_curves_figure([TrialCurve(trial=4, curve=CURVE)], behind=[TrialCurve(trial=9, curve=CURVE)])
    assert [trace.name for trace in figure.data] == ["the rest of the frontier", "training loss", "validation loss"]
    assert list(figure.data[2].y) == [2.9, 2.7]
    assert set(figure.data[0].customdata) == {9}


def test_several_candidates_differ_in_dash_and_symbol_too():
    figure = loss_curves_figure([TrialCurve(trial=number, curve=CURVE) for number in range(4)])
    assert [trace.name for trace in figure.data] == ["#0", "#1", "#2", "#3"]
    assert len({trace.line.dash for trace in figure.data}) == len({trace.marker.symbol for trace in figure.data}) == 4


def test_a_curve_without_validation_shows_its_training_loss():
    (trace,) = loss_curves_figure([TrialCurve(trial=4, curve=((1.0, 3.0, None), (2.0, 2.0, 2.5)))]).data
    assert (trace.name, list(trace.y)) == ("training loss", [3.0, 2.0])


def test_without_a_curve_the_figure_says_so():
    empty = loss_curves_figure([TrialCurve(trial=4, curve=())], behind=[TrialCurve(trial=9, curve=CURVE)])
    assert "No learning curve" in empty.layout.annotations[0].text
    assert not empty.data
