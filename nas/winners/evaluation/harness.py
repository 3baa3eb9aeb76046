"""Tasks of lm-evaluation-harness on a model: which are run, what they gave, and means over the paper's sets.

The harness reads its definitions and each task's own data, from Hugging Face's cache or hub or from files that a task
names. Nothing is installed or fetched here.
"""

import importlib
import logging
import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import torch

from nas.errors import UsageError
from nas.winners.evaluation.task_names import SETS, AskedTask, asked_tasks, folders_of
from operators.model import HybridLM
from proxies.errors import DataError
from proxies.tokenizers import Tokenizer
from search_spaces import NasError

if TYPE_CHECKING:
    from nas.winners.evaluation.harness_model import Report

T = TypeVar("T")

MAIN_METRICS: Final = ("acc_norm", "acc", "exact_match", "pass_at_1", "pass@1", "contains", "f1")
"""What a task is reported by: the first of these that it has, else its first metric."""

_SEED: Final = 1234
"""Of examples and bootstraps; the harness's own."""

_BOOTSTRAPS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScore:
    """What one task gave."""

    task: str
    set_name: str | None
    metric: str
    value: float
    error: float | None
    """Standard error over the questions, where the harness has one."""

    num_shots: int
    num_questions: int
    metrics: Mapping[str, float]
    """All of them, as `metric,filter`."""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping that `from_dict` reads back."""
        return {
            "task": self.task,
            "set": self.set_name,
            "metric": self.metric,
            "value": self.value,
            "standard_error": self.error,
            "shots": self.num_shots,
            "questions": self.num_questions,
            "metrics": dict(self.metrics),
        }

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "TaskScore":
        """Read what `to_dict` wrote."""
        return cls(
            task=mapping["task"],
            set_name=mapping["set"],
            metric=mapping["metric"],
            value=mapping["value"],
            error=mapping["standard_error"],
            num_shots=mapping["shots"],
            num_questions=mapping["questions"],
            metrics=mapping["metrics"],
        )


def averages(scores: Sequence[TaskScore]) -> dict[str, float]:
    """Return the mean over each set that was asked for whole."""
    found = {}
    for name, task_set in SETS.items():
        values = [score.value for score in scores if score.set_name == name]
        if values and len(values) == len(task_set.tasks):
            found[name] = sum(values) / len(values)
    return found


def run_tasks(
    model: HybridLM,
    tokenizer: Tokenizer,
    names: Sequence[str],
    *,
    task_folder: Path | None = None,
    num_shots: int | None = None,
    limit: int | None = None,
    batch_size: int = 1,
    context_tokens: int,
    runs_code: bool = False,
    report: "Report | None" = None,
) -> list[TaskScore]:
    """Return the score of each task, in the order asked for.

    Args:
        model: on the device that computes.
        tokenizer: the model's.
        names: of sets and tasks.
        task_folder: with YAML files of tasks, before the harness's own.
        num_shots: examples before each question; none means what set or task says.
        limit: first questions of each task; none means all.
        batch_size: sequences whose likelihood is computed at once.
        context_tokens: tokens the model sees at most.
        runs_code: whether what the model writes may be run, as tasks of coding do, without a sandbox.
        report: see `harness_model.Report`.

    Raises:
        UsageError: an unknown name, or a task that would run code without leave.
        DataError: a task's data are not at hand, or its definition is not whole.
        UnavailableError: the harness is not installed.
    """
    asked = asked_tasks(names, num_shots=num_shots)
    folders = folders_of([task.name for task in asked], own=task_folder)
    from nas.winners.evaluation.harness_model import HarnessModel

    with _quiet(), _seeded(), redirect_stdout(sys.stderr):
        loaded = _load(asked, folders, runs_code=runs_code)
        adapter = HarnessModel(model, tokenizer, batch_size=batch_size, context_tokens=context_tokens, report=report)
        results = importlib.import_module("lm_eval.evaluator").evaluate(
            adapter,
            task_dict=loaded.merged(),
            limit=limit,
            bootstrap_iters=_BOOTSTRAPS,
            log_samples=False,
            confirm_run_unsafe_code=runs_code,
        )
    return [_score(name, task, results, loaded=loaded) for name, task in loaded.reported]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """Tasks of the harness, ready to run."""

    parts: list[Mapping[str, Any]]
    """As its manager returns them, one for each name."""

    reported: list[tuple[str, AskedTask]]
    """Names in the results, with what they were asked for as."""

    def merged(self) -> dict[str, Any]:
        return {
            key: {name: value for part in self.parts for name, value in part.get(key, {}).items()}
            for key in ("tasks", "groups", "group_map")
        }

    def leaves(self, name: str) -> list[str]:
        """Return the tasks of a group; a task is its own."""
        part = next(part for part, (reported, _) in zip(self.parts, self.reported, strict=True) if reported == name)
        return list(part["tasks"])


def _load(asked: Sequence[AskedTask], folders: Sequence[Path], *, runs_code: bool) -> _Loaded:
    manager = importlib.import_module("lm_eval.tasks").TaskManager(include_path=folders, include_defaults=False)
    loaded = _Loaded(parts=[], reported=[])
    for task in asked:
        try:
            part = manager.load([task.name])
        except NasError:
            raise
        except Exception as error:  # whatever a definition, a foreign library or its transport comes up with
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise DataError(
                f"The task {task.name!r} cannot be prepared: {first.rstrip('.')}. Its data must lie in the files it "
                "names or in Hugging Face's cache, or the hub be reachable."
            ) from error
        for leaf in part["tasks"].values():
            _set_shots(leaf, task)
            if getattr(leaf, "UNSAFE_CODE", False) and not runs_code:
                raise UsageError(
                    f"The task {task.name!r} runs what the model writes, on this machine and without a sandbox. "
                    "Allow it with --run-code, in a container, or leave the task out."
                )
        tops = _tops(part)
        if tops is None:
            # A tag: tasks that are reported one by one.
            for name, leaf in part["tasks"].items():
                loaded.parts.append({"tasks": {name: leaf}})
                loaded.reported.append((name, task))
        else:
            loaded.parts.append(part)
            loaded.reported.append((tops, task))
    return loaded


def _tops(part: Mapping[str, Any]) -> str | None:
    """Return the name under which the results say what one name gave; none for a tag of several tasks."""
    groups = part.get("groups") or {}
    if groups:
        children = {child for names in (part.get("group_map") or {}).values() for child in names}
        return next(str(name) for name in groups if name not in children)
    return next(iter(part["tasks"])) if len(part["tasks"]) == 1 else None


def _set_shots(leaf: Any, task: AskedTask) -> None:
    # As the harness does it: a task that says none means none.
    own = leaf.get_config("num_fewshot")
    if own != 0:
        leaf.set_config(key="num_fewshot", value=own or 0 if task.num_shots is None else task.num_shots)
    leaf.set_fewshot_seed(seed=_SEED)


def _score(name: str, task: AskedTask, results: Mapping[str, Any], *, loaded: _Loaded) -> TaskScore:
    found = results["results"].get(name) or results.get("groups", {}).get(name, {})
    numbers = {
        key: float(value)
        for key, value in found.items()
        if "," in key and isinstance(value, int | float) and not isinstance(value, bool)
    }
    metrics = {key: value for key, value in numbers.items() if "_stderr," not in key}
    if not metrics:
        raise DataError(f"The task {name!r} gave no figure. A group needs an aggregate_metric_list in its definition.")
    main = _main_metric(metrics)
    metric, _, filter_name = main.partition(",")
    leaves = loaded.leaves(name)
    return TaskScore(
        task=name,
        set_name=task.set_name,
        metric=metric,
        value=metrics[main],
        error=numbers.get(f"{metric}_stderr,{filter_name}"),
        num_shots=int(results["n-shot"][leaves[0]]),
        num_questions=sum(int(results["n-samples"][leaf]["effective"]) for leaf in leaves),
        metrics=metrics,
    )


def _main_metric(metrics: Mapping[str, float]) -> str:
    for wanted in MAIN_METRICS:
        for name in metrics:
            if name.partition(",")[0] == wanted:
                return name
    return next(iter(metrics))


@contextmanager
def _seeded() -> Iterator[None]:
    """Let the harness draw the same each time, and everybody else as if it had not."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002  the harness uses it
    random.seed(_SEED)
    np.random.seed(_SEED)  # noqa: NPY002  the harness uses it
    torch.manual_seed(_SEED)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002  the harness uses it
        torch.set_rng_state(before[2])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the harness and its transport say of their own work from the terminal, and its bootstraps in here."""
    loggers = [logging.getLogger(name) for name in ("lm_eval", "huggingface_hub", "datasets", "evaluate")]
    levels = [logger.level for logger in loggers]
    datasets: Any = importlib.import_module("datasets")
    tasks: Any = importlib.import_module("lm_eval.api.task")
    had_bars, bar = not datasets.are_progress_bars_disabled(), tasks.tqdm
    variable, before = "DISABLE_MULTIPROC", os.environ.get("DISABLE_MULTIPROC")
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    datasets.disable_progress_bars()
    tasks.tqdm = _without_bar
    os.environ[variable] = "1"
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        tasks.tqdm = bar
        if had_bars:
            datasets.enable_progress_bars()
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


def _without_bar(items: T, **_: object) -> T:
    return items
