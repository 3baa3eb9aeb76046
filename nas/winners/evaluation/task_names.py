"""Names of tasks of lm-evaluation-harness: the sets of the paper, and where the harness keeps a task.

The harness itself is in `harness.py`; reading all its definitions takes it ten seconds, finding names in them one.
"""

import difflib
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from nas.errors import UsageError
from search_spaces.errors import UnavailableError

MMLU_SHOTS: Final = 5
"""As it is reported everywhere; the harness's own default is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSet:
    """Tasks that are averaged to one figure."""

    tasks: tuple[str, ...]
    num_shots: int | None = None
    """Examples before each question; none means what each task says."""


SETS: Final[dict[str, TaskSet]] = {
    "commonsense": TaskSet(
        tasks=("arc_easy", "arc_challenge", "hellaswag", "openbookqa", "piqa", "winogrande"), num_shots=0
    ),
    "mmlu": TaskSet(tasks=("mmlu",), num_shots=MMLU_SHOTS),
    "math": TaskSet(tasks=("gsm8k", "mathqa")),
    "coding": TaskSet(tasks=("humaneval", "humaneval_plus", "mbpp", "mbpp_plus")),
    "recall": TaskSet(tasks=("fda", "squad_completion", "swde")),
}
"""The domains of the paper's tables [NF 3], in the tasks of the harness."""

_NAME: Final = re.compile(
    r"^(?:task|group|tag):[ \t]*[\"']?(?P<one>[\w.\-+/ ]+?)[\"']?[ \t]*$"
    r"|^tag:[ \t]*\n(?P<several>(?:[ \t]*-[^\n]*\n)+)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedTask:
    """One task to run."""

    name: str
    set_name: str | None
    """Of the set it was asked for in."""

    num_shots: int | None


def asked_tasks(names: Sequence[str], *, num_shots: int | None = None) -> list[AskedTask]:
    """Return the tasks behind names of sets and tasks, each once.

    Args:
        names: as a user gives them.
        num_shots: examples before each question, where the user says.

    Raises:
        UsageError: no names.
    """
    asked: dict[str, AskedTask] = {}
    for name in names:
        task_set = SETS.get(name, TaskSet(tasks=(name,)))
        shots = task_set.num_shots if num_shots is None else num_shots
        set_name = name if name in SETS else None
        for task in task_set.tasks:
            asked.setdefault(task, AskedTask(name=task, set_name=set_name, num_shots=shots))
    if not asked or "" in asked:
        raise UsageError(f"--tasks takes names as in commonsense,gsm8k; sets are {', '.join(SETS)}.")
    return list(asked.values())


def folders_of(names: Sequence[str], *, own: Path | None) -> list[Path]:
    """Return the folders with the definitions of these tasks: the harness's, then the user's own.

    Raises:
        UsageError: no task has such a name, with the near misses; or there is no such folder.
        UnavailableError: the harness is not installed.
    """
    if own is not None and not own.is_dir():
        raise UsageError(f"--task-folder is a folder with YAML files of tasks; {own} is none.")
    mine = set() if own is None else set(_names_in(own))
    places = _places()
    unknown = [name for name in names if name not in mine and name not in places]
    if unknown:
        near = difflib.get_close_matches(unknown[0], [*SETS, *mine, *places], n=3)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise UsageError(
            f"Neither a set nor a task is called {unknown[0]!r}.{hint} Sets: {', '.join(SETS)}. "
            "Tasks are listed by: lm-eval ls tasks"
        )
    folders = {place for name in names if name not in mine for place in places[name]}
    return [*sorted(folders), *([own] if own is not None else [])]


@cache
def _places() -> dict[str, tuple[Path, ...]]:
    """Return the folders of the harness in which a name is defined."""
    found = importlib.util.find_spec("lm_eval")
    if found is None or found.origin is None:
        raise UnavailableError("Tasks need the package lm-eval. Install it with: pip install 'hybridnas[eval]'")
    root = Path(found.origin).parent / "tasks"
    places: dict[str, list[Path]] = {}
    for name, file in _names_in(root).items():
        places[name] = sorted({root / path.relative_to(root).parts[0] for path in file})
    return {name: tuple(folders) for name, folders in places.items()}


def _names_in(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        for match in _NAME.finditer(path.read_text(encoding="utf-8", errors="replace")):
            names = [match["one"]] if match["one"] else re.findall(r"-[ \t]*[\"']?([\w.\-+/]+)", match["several"])
            for name in names:
                found.setdefault(name, []).append(path)
    return found
