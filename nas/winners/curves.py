"""From the folders of trainings to what dashboards draw of them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dashboards.frame import State, TrainingRun
from nas.errors import UsageError
from nas.winners.stages import Plan
from nas.winners.tracking.log_file import read_log
from nas.winners.training_directory import TRAININGS, TrainingDirectory
from operators.cost import num_parameters


def trainings_of_run(path: Path) -> tuple[TrainingRun, ...]:
    """Return the trainings inside a run directory, by name; those that have not begun are none.

    Raises:
        NasError: the folder of one is damaged.
    """
    folders = sorted((path / TRAININGS).glob("*"), key=_in_order)
    return read_trainings([folder for folder in folders if TrainingDirectory(folder).is_begun])


def read_trainings(folders: Sequence[Path]) -> tuple[TrainingRun, ...]:
    """Return the trainings in these folders, under names that differ.

    Raises:
        UsageError: no training was begun in one of them.
        NasError: the folder of one is damaged.
    """
    return tuple(_read(folder, name=name) for folder, name in zip(folders, _names(folders), strict=True))


def _read(folder: Path, *, name: str) -> TrainingRun:
    directory = TrainingDirectory(folder)
    if not directory.is_begun:
        raise UsageError(
            f"{folder} holds no training: it has no {directory.recipe.name}. Name the --output of a nas train."
        )
    plan = Plan(directory.read_recipe())
    architecture = directory.read_architecture()
    events = read_log(directory.log)
    state: State = "interrupted"
    if directory.lock.is_held:
        state = "running"
    elif events and events[-1]["step"] >= plan.steps:
        state = "finished"
    return TrainingRun(
        name=name,
        events=pd.DataFrame(events) if events else pd.DataFrame({"step": [], "tokens": []}),
        state=state,
        model=architecture.pattern,
        num_parameters=num_parameters(architecture),
        planned_tokens=plan.tokens,
        device=_device(directory.environment),
    )


def _device(path: Path) -> str:
    if not path.is_file():
        return ""
    return str(json.loads(path.read_text(encoding="utf-8")).get("device", ""))


def _names(folders: Sequence[Path]) -> list[str]:
    """Return the last parts of the paths, as many as tell them apart."""
    if not folders:
        return []
    parts = [folder.absolute().parts for folder in folders]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    raise UsageError("A training can be drawn once; a folder was named twice. Name each once.")


def _in_order(folder: Path) -> tuple[str, int, str]:
    """Sort trial-2 before trial-10."""
    word, _, number = folder.name.rpartition("-")
    return (word, int(number), folder.name) if number.isdigit() else (folder.name, -1, folder.name)
