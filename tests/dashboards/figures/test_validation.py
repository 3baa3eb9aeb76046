import pytest

from dashboards.figures.validation import validation_figure
from dashboards.frame import PredictedAndMeasured

MODELS = [
    PredictedAndMeasured(name="llama <b>", hidden_size=1024, predicted_ms=2.0, measured_ms=1.9),
    PredictedAndMeasured(name="hybrid", hidden_size=2048, predicted_ms=5.0, measured_ms=6.0),
]


def marks(models):
    """Predictions, then errors."""
    return [trace for trace in validation_figure(models).data if trace.mode == "markers"]


def test_every_model_is_a_mark_at_measured_and_predicted():
    predictions, _ = marks(MODELS)
    assert list(predictions.x) == [1.9, 6.0]
    assert list(predictions.y) == [2.0, 5.0]


def test_errors_stand_beside_in_percent_of_the_measurement():
    _, errors = marks(MODELS)
    assert list(errors.x) == [1.9, 6.0]
    assert list(errors.y) == pytest.approx([5.263, -16.667], abs=1e-3)
    low, high = validation_figure(MODELS).layout.yaxis2.range
    assert low == -high
    assert high > 16.7


def test_small_errors_are_seen_within_the_band_of_ten_percent():
    figure = validation_figure(MODELS[:1])
    band = figure.layout.shapes[0]
    assert (band.y0, band.y1) == (-10, 10)
    assert figure.layout.yaxis2.range[1] > 10


def test_names_of_models_are_escaped():
    for trace in marks(MODELS):
        assert trace.customdata[0][0] == "llama &lt;b&gt;"


def test_the_line_spans_all_models_and_the_band_lies_around_it():
    band, line = validation_figure(MODELS).data[:2]
    assert min(line.x) < 1.9
    assert max(line.x) > 6
    assert min(band.y) < min(line.y)
    assert max(band.y) > max(line.y)


def test_axes_have_round_labels():
    axis = validation_figure(MODELS).layout.xaxis
    assert axis.type == "log"
    assert len(axis.tickvals) >= 5


def test_no_model_is_said():
    assert "No model" in validation_figure([]).layout.annotations[0].text
