"""Every tracker by name, and several of them as one. The log file is none of them: it is always written."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from nas.winners.tracking.tracker import Tracker
from search_spaces.errors import UnavailableError

TrackerName = Literal["tensorboard", "wandb", "mlflow"]

EXTRAS: Final[Mapping[TrackerName, str]] = {"tensorboard": "tracking", "wandb": "wandb", "mlflow": "mlflow"}
"""The extra of this package that brings a tracker's own package, which has the tracker's name."""


class Trackers:
    """Passes every event to several trackers; one that fails is left out from then on, and that is said."""

    def __init__(self, trackers: Mapping[str, Tracker], *, notice: Callable[[str], None]) -> None:
        self._trackers = dict(trackers)
        self._notice = notice

    def log(self, event: Mapping[str, Any]) -> None:
        """Pass one event on."""
        self._each(lambda tracker: tracker.log(event), "took no more events")

    def close(self) -> None:
        """Close all of them."""
        self._each(lambda tracker: tracker.close(), "did not close")
        self._trackers = {}

    def _each(self, do: Callable[[Tracker], None], failed: str) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                do(tracker)
            except Exception as error:
                # A training of days does not end because a service it is shown by does; its own log has everything.
                del self._trackers[name]
                self._notice(
                    f"{name} {failed}: {type(error).__name__}: {error}. The training goes on; its log is whole."
                )


def check_installed(names: Iterable[TrackerName]) -> None:
    """Refuse trackers whose package is missing, before anything is trained.

    Raises:
        UnavailableError: naming the extra.
    """
    for name in names:
        try:
            found = find_spec(name) is not None
        except ValueError:
            # What another program put into sys.modules in its place.
            found = False
        if not found:
            raise UnavailableError(
                f"tracking: {name} needs the package {name}, which is not installed. Install it with: "
                f"pip install 'hybridnas[{EXTRAS[name]}]', or leave {name} out of the recipe's tracking."
            )


def open_trackers(
    names: Sequence[TrackerName],
    folder: Path,
    *,
    name: str,
    config: Mapping[str, Any],
    done_steps: int,
    notice: Callable[[str], None],
) -> Trackers:
    """Begin to track a training, or go on with the same runs where it was tracked before.

    Args:
        names: which trackers; none is allowed.
        folder: the training's; files and the names of its runs are kept there.
        name: of the training, for a person.
        config: what the run is described by, JSON-ready.
        done_steps: steps done before; 0 at the beginning.
        notice: is told when a tracker fails on the way.

    Raises:
        UnavailableError: a package is missing, or a service takes no run.
    """
    check_installed(names)
    opened: dict[str, Tracker] = {}
    try:
        for each in names:
            opened[each] = _open(each, folder, name=name, config=config, done_steps=done_steps)
    except BaseException:
        Trackers(opened, notice=notice).close()
        raise
    return Trackers(opened, notice=notice)


def _open(tracker: TrackerName, folder: Path, *, name: str, config: Mapping[str, Any], done_steps: int) -> Tracker:
    # Each brings a package of its own.
    if tracker == "tensorboard":
        from nas.winners.tracking.tensorboard_events import TensorBoardTracker

        return TensorBoardTracker(folder, done_steps=done_steps)
    if tracker == "wandb":
        from nas.winners.tracking.weights_and_biases import WandbTracker

        return WandbTracker(folder, name=name, config=config)
    from nas.winners.tracking.mlflow_runs import MlflowTracker

    return MlflowTracker(folder, name=name, config=config)
