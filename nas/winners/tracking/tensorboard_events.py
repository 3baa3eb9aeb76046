"""Events of a training for TensorBoard, in the training's own folder.

A training that goes on from an earlier step says so, and TensorBoard drops what was logged beyond it: no step is drawn
twice.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from nas.winners.tracking.values import values_of

FOLDER: Final = "tensorboard"


class TensorBoardTracker:
    """Writes one scalar for each number of an event."""

    def __init__(self, folder: Path, *, done_steps: int) -> None:
        """Begin, or go on behind `done_steps`.

        Raises:
            ImportError: tensorboard is not installed.
        """
        from torch.utils.tensorboard import SummaryWriter

        path = folder / FOLDER
        goes_on = path.is_dir()
        self._writer = SummaryWriter(str(path), purge_step=done_steps + 1 if goes_on else None)

    def log(self, event: Mapping[str, Any]) -> None:
        """Write one event."""
        for name, value in values_of(event).items():
            self._writer.add_scalar(name, value, global_step=event["step"])

    def close(self) -> None:
        """Write out what is buffered."""
        self._writer.close()
