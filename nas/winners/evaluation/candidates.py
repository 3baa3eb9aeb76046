"""Candidates of a search on tasks: each is trained again as the search did, its model kept in the run, and evaluated.

A search keeps scores and no weights. On one machine's CPU training again gives the same model bit for bit; elsewhere
the perplexity found again says how near it is. Nothing is written into the study.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from nas.candidates import Record
from nas.errors import CheckpointError, SearchFailedError, UsageError
from nas.evaluation import ShortTrainingEvaluation
from nas.run import Run
from nas.run_directory import write_atomically
from nas.search import check_same_corpus, prepare
from nas.winners.evaluation.harness import TaskScore, averages, run_tasks
from nas.winners.model_folder import MODEL_FILE, read_model_folder, write_model_json
from nas.winners.weights import load_model, save_weights
from operators.model import HybridLM
from proxies.placement import num_threads, resolve_device
from proxies.short_training import ShortTraining

TASKS_FILE: Final = "tasks.json"
MODEL_FOLDER: Final = "model"
"""Both in the trial's folder."""

Report = Callable[[str, int, int], None]
"""Called with what is done, how many of it, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateTasks:
    """One candidate's figures."""

    trial: int
    pattern: str
    perplexity: float
    """On record in the study, under this trial's own seed."""

    trained_perplexity: float
    """Of the model that was evaluated."""

    model: Path
    scores: tuple[TaskScore, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            "trial": self.trial,
            "pattern": self.pattern,
            "perplexity": self.perplexity,
            "trained_perplexity": self.trained_perplexity,
            "model": str(self.model),
            "tasks": [score.to_dict() for score in self.scores],
            "means": averages(self.scores),
        }


def score_candidates(
    run: Run,
    records: Sequence[Record[Any]],
    names: Sequence[str],
    *,
    task_folder: Path | None = None,
    num_shots: int | None = None,
    limit: int | None = None,
    batch_size: int = 1,
    context_tokens: int,
    runs_code: bool = False,
    report: Report | None = None,
) -> list[CandidateTasks]:
    """Return the figures of candidates, each kept in its trial's folder as soon as it is there.

    Args:
        run: whose candidates they are.
        records: trials that finished.
        names: of sets and tasks; see `harness.run_tasks`, as for what follows.
        task_folder: with tasks of one's own.
        num_shots: examples before each question.
        limit: first questions of each task.
        batch_size: sequences at once.
        context_tokens: tokens the model sees at most.
        runs_code: whether what the model writes may be run.
        report: is told how it goes.

    Raises:
        UsageError: a trial that did not finish, or an unknown task.
        ConfigError: the run's text has changed.
        SearchFailedError: a training that finished in the search does not now.
        DataError: a task's data are not at hand.
    """
    for record in records:
        if record.status != "finished":
            raise UsageError(f"Tasks need a trained model; trial {record.number} is {record.status}. Name another.")
    prepared = prepare(run.config, own_table=run.directory.latency)
    check_same_corpus(run.directory, prepared.corpus)
    evaluation = ShortTrainingEvaluation(
        space=prepared.space,
        proxy=ShortTraining(corpus=prepared.corpus, settings=run.config.training_settings()),
        width_fraction=run.config.proxy.width_fraction,
    )
    found = []
    for record in records:
        folder = run.directory.trial(record.number)
        perplexity = _train_again(evaluation, record, folder / MODEL_FOLDER, report=report)
        settings = evaluation.proxy.settings
        with num_threads(settings.num_threads):
            model, described = load_model(folder / MODEL_FOLDER, device=resolve_device(settings.device))
            scores = run_tasks(
                model,
                prepared.corpus.tokenizer,
                names,
                task_folder=task_folder,
                num_shots=num_shots,
                limit=limit,
                batch_size=batch_size,
                context_tokens=context_tokens,
                runs_code=runs_code,
                report=None if report is None else _of_trial(report, record.number),
            )
        candidate = CandidateTasks(
            trial=record.number,
            pattern=described.architecture.pattern,
            perplexity=_own_perplexity(run, record),
            trained_perplexity=perplexity,
            model=folder / MODEL_FOLDER,
            scores=tuple(scores),
        )
        _write(folder / TASKS_FILE, candidate)
        found.append(candidate)
    return found


def read_candidate_tasks(run: Run, trial: int) -> list[TaskScore]:
    """Return what tasks gave for a trial so far; nothing if none was run.

    Raises:
        CheckpointError: the file is damaged.
    """
    return _read(run.directory.trial(trial) / TASKS_FILE)


def _train_again(
    evaluation: ShortTrainingEvaluation, record: Record[Any], folder: Path, *, report: Report | None
) -> float:
    """Train a candidate unless its model is there, and return the model's perplexity."""
    origin = {"origin": "search", "trial": record.number, "seed": record.candidate.seed}
    identity = {**origin, "fingerprint": record.candidate.fingerprint}
    if (folder / MODEL_FILE).is_file():
        provenance = read_model_folder(folder).provenance
        if identity.items() <= provenance.items():
            return float(provenance["perplexity"])
        raise CheckpointError(
            f"{folder} should hold the model of trial {record.number}, and holds another. Move it away."
        )
    tell = None if report is None else _of_trial(report, record.number)
    folder.mkdir(parents=True, exist_ok=True)
    architecture = evaluation.proxy_architecture(record.genome)
    result = evaluation.proxy.evaluate(
        architecture,
        seed=record.candidate.seed,
        report=None if tell is None else (lambda done, total, _: tell("training steps", done, total)),
        keep=partial(_keep, folder),
    )
    if result.perplexity is None:
        raise SearchFailedError(
            f"Trial {record.number} finished in the search, and trained again it is {result.status}: {result.message} "
            "Train it on the machine of the search."
        )
    # Last, so that a folder with it is whole.
    write_model_json(
        folder,
        architecture,
        tokenizer=evaluation.proxy.corpus.tokenizer,
        provenance={**identity, "perplexity": result.perplexity, "bits_per_byte": result.bits_per_byte},
    )
    return result.perplexity


def _keep(folder: Path, model: HybridLM) -> None:
    save_weights(folder, model.state_dict())


def _own_perplexity(run: Run, record: Record[Any]) -> float:
    """Return what the trial itself gave; the record may hold the mean over its repeats."""
    return next(float(own.objectives["perplexity"]) for own in run.study.history() if own.number == record.number)


def _of_trial(report: Report, trial: int) -> Report:
    return lambda what, done, total: report(f"trial {trial}: {what}", done, total)


def _write(path: Path, candidate: CandidateTasks) -> None:
    """Write a candidate's figures; earlier ones of other tasks stay."""
    scores = {score.task: score for score in (*_read(path), *candidate.scores)}
    content = {**candidate.to_dict(), "tasks": [score.to_dict() for score in scores.values()]}
    # Where the run lies is no part of what was found.
    content["model"] = MODEL_FOLDER
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _read(path: Path) -> list[TaskScore]:
    if not path.is_file():
        return []
    try:
        return [TaskScore.from_dict(row) for row in json.loads(path.read_text(encoding="utf-8"))["tasks"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is no record of tasks: {error!r}. Move it away; tasks can be run again."
        ) from error
