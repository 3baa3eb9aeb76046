import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.winners.tracking.run_names import kept_name
from nas.winners.tracking.trackers import EXTRAS, TrackerName, Trackers, check_installed, open_trackers
from nas.winners.tracking.values import values_of
from search_spaces.errors import UnavailableError

CONFIG = {"name": "small", "learning_rate": 1e-3, "stages": [{"tokens": 100}]}


def event(step: int, *, loss: float | None = None) -> dict[str, Any]:
    return {
        "step": step,
        "tokens": 512 * step,
        "loss": 5.0 - 0.1 * step if loss is None else loss,
        "learning_rate": 1e-3,
        "gradient_norm": 0.5,
        "weight_norm": 8.0,
        "tokens_per_s": 10_000.0,
        "mfu": None,
        "seconds": 0.1 * step,
        "stage": 1,
    }


def validation(step: int) -> dict[str, Any]:
    return {
        "step": step,
        "tokens": 512 * step,
        "validation_loss": 4.0,
        "perplexity": 54.6,
        "bits_per_byte": 5.8,
        "seconds": 1.0,
    }


def say_nothing(words: str) -> None:
    raise AssertionError(words)


def track(name: TrackerName, folder: Path, events: list[dict[str, Any]], *, done_steps: int = 0) -> None:
    trackers = open_trackers([name], folder, name="small", config=CONFIG, done_steps=done_steps, notice=say_nothing)
    for each in events:
        trackers.log(each)
    trackers.close()


def read_tensorboard(folder: Path, tag: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder / "tensorboard"))
    accumulator.Reload()
    return [(scalar.step, scalar.value) for scalar in accumulator.Scalars(tag)]


def test_numbers_of_an_event_are_grouped_and_what_is_unknown_is_left_out() -> None:
    assert "training/mfu" not in values_of(event(1))
    assert values_of(event(1))["training/loss"] == 4.9
    assert values_of(validation(1)) == {
        "validation/loss": 4.0,
        "validation/perplexity": 54.6,
        "validation/bits_per_byte": 5.8,
    }


def test_tensorboard_reads_back_what_was_logged(tmp_path: Path) -> None:
    track("tensorboard", tmp_path, [event(1), event(2), validation(2)])
    assert read_tensorboard(tmp_path, "training/loss") == [(1, pytest.approx(4.9)), (2, pytest.approx(4.8))]
    assert read_tensorboard(tmp_path, "validation/loss") == [(2, pytest.approx(4.0))]


def test_tensorboard_shows_no_step_twice_after_going_back_to_a_checkpoint(tmp_path: Path) -> None:
    track("tensorboard", tmp_path, [event(step) for step in range(1, 8)])
    track("tensorboard", tmp_path, [event(step, loss=1.0) for step in range(5, 10)], done_steps=4)
    found = read_tensorboard(tmp_path, "training/loss")
    assert [step for step, _ in found] == list(range(1, 10))
    assert [value for step, value in found if step > 4] == [1.0] * 5


@pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # MLflow's own, of SQLAlchemy
def test_mlflow_goes_on_with_the_same_run_and_keeps_one_value_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow, extra mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    track("mlflow", tmp_path, [event(step) for step in range(1, 8)])
    run = kept_name(tmp_path, "mlflow")
    track("mlflow", tmp_path, [*(event(step) for step in range(5, 10)), validation(9)], done_steps=4)
    assert kept_name(tmp_path, "mlflow") == run
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert [metric.step for metric in client.get_metric_history(run, "training/loss")] == list(range(1, 10))
    assert client.get_run(run).data.metrics["validation/perplexity"] == 54.6
    assert client.get_run(run).data.params["learning_rate"] == "0.001"
    assert client.get_run(run).info.status == "FINISHED"


def test_wandb_logs_offline_under_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="needs wandb, extra wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    track("wandb", tmp_path, [event(1), event(2), validation(2)])
    name = kept_name(tmp_path, "wandb")
    assert name is not None
    track("wandb", tmp_path, [event(3)], done_steps=2)
    assert kept_name(tmp_path, "wandb") == name
    folders = sorted((tmp_path / "wandb").glob(f"offline-run-*-{name}"))
    assert folders
    assert all(any(folder.glob("run-*.wandb")) for folder in folders)


@pytest.mark.parametrize("name", sorted(EXTRAS))
def test_a_tracker_whose_package_is_missing_is_refused_with_its_extra(
    name: TrackerName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnavailableError, match=rf"hybridnas\[{EXTRAS[name]}\]"):
        check_installed([name])


class Recording:
    def __init__(self) -> None:
        self.steps: list[int] = []

    def log(self, event: Any) -> None:
        self.steps.append(event["step"])

    def close(self) -> None:
        self.steps.append(-1)


class Failing(Recording):
    def log(self, event: Any) -> None:
        raise OSError("the server is gone")


def test_a_tracker_that_fails_is_said_once_and_left_out() -> None:
    said: list[str] = []
    notice: Callable[[str], None] = said.append
    other = Recording()
    trackers = Trackers({"failing": Failing(), "other": other}, notice=notice)
    for step in (1, 2):
        trackers.log(event(step))
    trackers.close()
    assert other.steps == [1, 2, -1]
    assert len(said) == 1
    assert "failing took no more events: OSError: the server is gone" in said[0]
