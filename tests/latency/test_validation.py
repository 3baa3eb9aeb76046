from dataclasses import replace

import numpy as np
import pytest

from latency.accuracy import accuracy
from latency.validation import ValidatedModel, Validation, validation_for, validations_of, with_validation
from latency.workload import Workload

WORKLOAD = Workload(phase="decode", generated_tokens=8)


def validation(*errors: float, workload: Workload = WORKLOAD, date: str = "2026-11-21T10:00:00+00:00") -> Validation:
    models = tuple(
        ValidatedModel(
            name=f"m{index}", hidden_size=64, num_parameters=1000, predicted_ms=10 * (1 + error), measured_ms=10.0
        )
        for index, error in enumerate(errors)
    )
    return Validation(date=date, workload=workload, models=models)


def test_errors_are_percent_of_what_was_measured() -> None:
    found = accuracy(predicted_ms=[11, 18, 30], measured_ms=[10, 20, 30])
    assert found.mape == pytest.approx(20 / 3)
    assert found.bias == pytest.approx(0)
    assert found.p95 == pytest.approx(10)
    assert found.num_models == 3


def test_clear_and_close_pairs_are_counted_apart() -> None:
    # 10 and 10.5 are close and predicted in the wrong order; every pair with 20 is clear and right.
    found = accuracy(predicted_ms=[11, 10, 30], measured_ms=[10, 10.5, 20])
    assert found.clear_pairs_ordered == 100
    assert found.close_pairs_ordered == 0
    assert np.isnan(accuracy(predicted_ms=[1, 2], measured_ms=[1, 2]).close_pairs_ordered)


def test_predictions_that_are_all_alike_have_no_rank_correlation() -> None:
    assert np.isnan(accuracy(predicted_ms=[2, 2], measured_ms=[1, 2]).spearman)


def test_equal_values_share_their_rank() -> None:
    found = accuracy(predicted_ms=[1, 1, 2, 3], measured_ms=[1, 2, 3, 4])
    assert found.spearman == pytest.approx(0.9486832980505138)


@pytest.mark.parametrize(("predicted", "measured"), [([1.0], [1.0]), ([1.0, 2.0], [1.0, 2.0, 3.0])])
def test_accuracy_needs_pairs_of_two_models(predicted: list[float], measured: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two models"):
        accuracy(predicted_ms=predicted, measured_ms=measured)


def test_the_interval_holds_nine_tenths_of_the_models() -> None:
    rng = np.random.default_rng(0)
    found = validation(*rng.normal(0.03, 0.05, size=400))
    inside = [
        low <= model.measured_ms <= high
        for model in found.models
        for low, high in [found.interval_ms(model.predicted_ms)]
    ]
    assert 0.88 <= np.mean(inside) <= 0.92


def test_a_table_that_predicts_too_much_gets_an_interval_below_its_prediction() -> None:
    low, high = validation(0.25, 0.25).interval_ms(100.0)
    assert low == pytest.approx(80)
    assert high == pytest.approx(80)


def test_the_worst_come_first_whatever_the_sign() -> None:
    assert [model.name for model in validation(0.01, -0.3, 0.2).worst] == ["m1", "m2", "m0"]


def test_metadata_keeps_one_validation_a_workload() -> None:
    other = replace(WORKLOAD, batch_size=4)
    metadata = with_validation({"remark": 1}, validation(0.1, 0.1))
    metadata = with_validation(metadata, validation(0.2, 0.2, workload=other))
    metadata = with_validation(metadata, validation(0.3, 0.3))
    assert metadata["remark"] == 1
    assert [found.workload for found in validations_of(metadata)] == [other, WORKLOAD]
    found = validation_for(metadata, replace(WORKLOAD, generated_tokens=99))
    assert found is not None
    assert found.accuracy.mape == pytest.approx(30)
    assert validation_for(metadata, replace(WORKLOAD, dtype="bfloat16")) is None


def test_a_validation_reads_back_what_it_wrote() -> None:
    found = validation(0.1, -0.2)
    assert Validation.from_dict(found.to_dict()) == found
    with pytest.raises(ValueError, match="no field 'modles'"):
        Validation.from_dict({**found.to_dict(), "modles": []})


@pytest.mark.parametrize(
    ("prompt_tokens", "generated_tokens", "speaks"),
    [(0, 8192, True), (40, 8, True), (65, 100, False), (8192, 64, False)],
)
def test_a_validation_speaks_only_for_contexts_it_met(prompt_tokens: int, generated_tokens: int, speaks: bool) -> None:
    checked = Validation(date="2026", workload=Workload(phase="decode", generated_tokens=64), models=())
    asked = Workload(phase="decode", prompt_tokens=prompt_tokens, generated_tokens=generated_tokens)
    assert (validation_for(with_validation({}, checked), asked) is not None) is speaks
