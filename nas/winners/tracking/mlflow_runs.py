"""Events of a training for MLflow: where MLFLOW_TRACKING_URI says, else a SQLite file in the training's own folder.

A training that goes on is the same run there. Steps that are done once more are not logged again, since MLflow would
keep both values.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from nas.winners.tracking.run_names import keep_name, kept_name
from nas.winners.tracking.values import values_of
from search_spaces.errors import UnavailableError

SERVICE: Final = "mlflow"
EXPERIMENT: Final = "hybridnas"
FILE: Final = "mlflow.db"
MOST_CHARACTERS: Final = 500
"""Of a parameter's value."""


class MlflowTracker:
    """Logs each number of an event as a metric at its step."""

    def __init__(self, folder: Path, *, name: str, config: Mapping[str, Any]) -> None:
        """Begin a run, or go on with this training's.

        Raises:
            ImportError: mlflow is not installed.
            UnavailableError: the server cannot be reached, or has no such run.
        """
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{(folder / FILE).absolute()}")
        self._last_steps: dict[str, int] = {}
        try:
            self._client: Any = MlflowClient(tracking_uri=uri)
            kept = kept_name(folder, SERVICE)
            self._run = self._begin(name, config) if kept is None else self._go_on(kept)
        except MlflowException as error:
            raise UnavailableError(
                f"MLflow at {uri} takes no run: {error}. Set MLFLOW_TRACKING_URI to a server that is there, or leave "
                f"mlflow out of the recipe's tracking."
            ) from error
        keep_name(folder, SERVICE, self._run)

    def log(self, event: Mapping[str, Any]) -> None:
        """Log one event."""
        from mlflow.entities import Metric

        step, now_ms = event["step"], int(1000 * time.time())
        new = {name: value for name, value in values_of(event).items() if step > self._last_steps.get(name, -1)}
        self._last_steps |= dict.fromkeys(new, step)
        metrics = [Metric(name, value, now_ms, step) for name, value in new.items()]
        if metrics:
            self._client.log_batch(self._run, metrics=metrics)

    def close(self) -> None:
        """Say that the run has ended."""
        self._client.set_terminated(self._run)

    def _begin(self, name: str, config: Mapping[str, Any]) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = self._client.create_experiment(EXPERIMENT) if found is None else found.experiment_id
        run = str(self._client.create_run(experiment, run_name=name).info.run_id)
        for key, value in config.items():
            self._client.log_param(run, key, str(value)[:MOST_CHARACTERS])
        return run

    def _go_on(self, run: str) -> str:
        self._client.update_run(run, status="RUNNING")
        for name in self._client.get_run(run).data.metrics:
            self._last_steps[name] = max(metric.step for metric in self._client.get_metric_history(run, name))
        return run
