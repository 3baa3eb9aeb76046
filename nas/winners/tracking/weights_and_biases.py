"""Events of a training for Weights & Biases; WANDB_MODE, WANDB_PROJECT and WANDB_ENTITY say where to, as they do there.

A training that goes on is the same run there. Steps that are done once more are not logged again: the service keeps
the first value of a step.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from nas.winners.tracking.run_names import keep_name, kept_name
from nas.winners.tracking.values import values_of
from search_spaces.errors import UnavailableError

SERVICE: Final = "wandb"
PROJECT: Final = "hybridnas"


class WandbTracker:
    """Logs each event under its step."""

    def __init__(self, folder: Path, *, name: str, config: Mapping[str, Any]) -> None:
        """Begin a run, or go on with this training's.

        Raises:
            ImportError: wandb is not installed.
            UnavailableError: nobody is logged in, or the service cannot be reached.
        """
        import wandb

        run_name = kept_name(folder, SERVICE) or uuid4().hex
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                id=run_name,
                resume="allow",
                name=name,
                dir=str(folder),
                config=dict(config),
                settings=wandb.Settings(silent=True, console="off"),
            )
        except (wandb.Error, OSError) as error:
            raise UnavailableError(
                f"Weights & Biases takes no run: {error}. Log in with: wandb login; or set WANDB_MODE=offline and send "
                "it later with: wandb sync."
            ) from error
        keep_name(folder, SERVICE, run_name)
        self._step = -1
        self._values: dict[str, float] = {}

    def log(self, event: Mapping[str, Any]) -> None:
        """Log one event; those of one step become one row."""
        if event["step"] != self._step:
            self._send()
            self._step = event["step"]
        self._values |= {**values_of(event), "tokens": event["tokens"]}

    def close(self) -> None:
        """Send what is left."""
        self._send()
        self._run.finish()

    def _send(self) -> None:
        if self._values:
            self._run.log(self._values, step=self._step)
            self._values = {}
