"""The engine as a library: `nas.optimize`, for any space and any expensive function.

Knows no language models, run directories or clusters; for those there is `search.py`.
"""

import inspect
import logging
import math
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from nas.candidates import Evaluated, Failed, History, Outcome
from nas.engine import run
from nas.errors import ConfigError, StudyError
from nas.evolution.registry import make_strategy
from nas.evolution.strategy import Problem, Strategy
from nas.executors.executor import Evaluate, Executor
from nas.executors.inprocess import InProcessExecutor
from nas.executors.threads import ThreadsExecutor
from nas.failure_policy import failure_policies
from nas.opening import UNNAMED, Opening
from nas.storage.journal import repaired_journal
from nas.storage.open import open_storage
from nas.storage.url import is_url
from nas.study import Study, recorded_objectives
from search_spaces import SearchSpace
from search_spaces.errors import near_miss

G = TypeVar("G", bound=Hashable)


def optimize(
    space: SearchSpace[G],
    evaluate: Callable[[G], Mapping[str, float] | Failed],
    *,
    cheap: Callable[[G], Mapping[str, float]] | None = None,
    objectives: Sequence[str] | None = None,
    constraints: Mapping[str, float] | None = None,
    initial: Sequence[G] = (),
    strategy: str | tuple[str, Mapping[str, int]] = "surrogate",
    num_evaluations: int,
    seed: int,
    parallelism: int = 1,
    executor: Executor[G] | Callable[[Evaluate[G]], Executor[G]] | None = None,
    study: Study[G] | Path | str | None = None,
    deadline_s: float | None = None,
    failures: Mapping[str, Mapping[str, object]] | None = None,
    frontier_repeats: int = 0,
) -> History[G]:
    """Search a space for the genomes whose objectives no other betters, and return all that was evaluated.

    Every objective is minimised. One evaluation at a time, the same arguments give the same candidates.

    Args:
        space: which genomes there are.
        evaluate: returns the expensive objectives of a genome by name, or `Failed`. An exception is a failure of kind
            `bug`, an objective that is not finite one of kind `diverged`; the search goes on, but not after five bugs
            in a row. A function that takes `seed` is given it.
        cheap: returns objectives that need no evaluation, by name; always the same names.
        objectives: names of the expensive objectives; none: what the first candidate that evaluates returns. Until one
            has, nothing is on record.
        constraints: upper bounds by name. What is above one on a cheap objective is not proposed; what ends above one
            on an expensive objective is `infeasible`, and on no frontier.
        initial: genomes evaluated first, whatever the constraints.
        strategy: `surrogate`, `frontier`, `aging`, `random`, `nsga2` or `tpe`, or one with settings, as in
            `("nsga2", {"population_size": 20})`.
        num_evaluations: candidates in all, those already in the study counted.
        seed: of the search.
        parallelism: evaluations at once, in threads of this process; then the order in which they end decides what is
            proposed next. For other processes and clusters there are executors.
        executor: runs evaluations. Either what makes one from an evaluation, such as `InProcessExecutor`, or one that
            was made before: it evaluates what it was made with and is not shut down.
        study: a journal file, made where there is none, a `postgresql://` URL, or a study that knows its objectives. A
            search that was stopped goes on from it; `strategy`, `seed` and `constraints` then decide what is proposed
            from there on, and the space must still hold what was proposed before.
        deadline_s: seconds one evaluation may take before it ends as `timeout`; none: as long as it likes. An executor
            that is given has its own.
        failures: what follows a kind of failure where it is not the default of `nas/failure_policy.py`, such as
            `{"timeout": {"then": "infeasible", "retries": 1}}`.
        frontier_repeats: so often every candidate that gets onto the frontier is evaluated again, under new seeds; the
            mean ranks it. For evaluations with noise.

    Raises:
        ConfigError: an argument breaks a rule.
        InfeasibleError: no genome found meets the constraints on cheap objectives.
        SearchFailedError: several candidates in a row failed in a way that is to end the search.
        StudyError: the study is of other objectives.
    """
    _check(space, initial=initial, num_evaluations=num_evaluations, parallelism=parallelism, executor=executor)
    _check_search(seed=seed, constraints=constraints, study=study)
    _check_limits(deadline_s=deadline_s, frontier_repeats=frontier_repeats, executor=executor)
    policies = failure_policies(failures or {})
    bounds = dict(constraints or {})
    with _opened(study) as storage:
        record = study if isinstance(study, Study) else None
        recorded = record.objectives if record else recorded_objectives(storage) if storage else None
        price = None if cheap is None else partial(_numbers, cheap)
        problem = _problem(
            space, price, expensive=objectives, initial=initial, bounds=bounds, recorded=recorded, seed=seed
        )
        make = partial(_strategy, strategy)
        make(problem)  # so that a strategy nobody knows is refused before anything starts
        evaluation: _Evaluation[G] = _Evaluation(evaluate)
        given = executor if isinstance(executor, Executor) else None
        runner = given or _new_executor(evaluation, executor, parallelism=parallelism, deadline_s=deadline_s)
        try:
            opening = None
            if problem.expensive == UNNAMED:
                runner = opening = Opening(runner)
                unnamed = opening.run(problem, make, num_evaluations=num_evaluations, seed=seed, failures=policies)
                if opening.expensive is None:
                    return History(list(unnamed.history()), objectives=problem.cheap_objectives, space=space)
                problem = _named(problem, opening.expensive, bounds)
            record = record or Study(space=space, objectives=problem.objectives, storage=storage)
            _check_recorded(record, space)
            record.tell_written_results()
            if opening is not None:
                opening.write(record, constraints=problem.constraints, failures=policies)
            run(
                problem,
                make(problem),
                study=record,
                executor=runner,
                num_evaluations=num_evaluations,
                frontier_repeats=frontier_repeats,
                seed=seed,
                failures=policies,
            )
        finally:
            if given is None:
                runner.shutdown()
            if record is not None and storage is not None:
                record.close()
        return record.history()


@contextmanager
def _opened(study: object) -> Iterator[Any]:
    """Give the storage of a file or URL, of which this process is the one writer; none for anything else.

    Raises:
        RunDirectoryError: another process writes the file.
        StudyError: the file is damaged before its end.
    """
    if not isinstance(study, Path | str):
        yield None
    elif is_url(study):
        yield open_storage(study)
    else:
        with repaired_journal(Path(study), notice=logging.getLogger("hybridnas").warning):
            yield open_storage(study)


@dataclass(frozen=True, slots=True)
class _Evaluation(Generic[G]):
    """What a user evaluates, as executors ask for it; it can be pickled where the function can."""

    function: Callable[..., Mapping[str, float] | Failed]

    def __call__(self, genome: G, seed: int) -> Outcome:
        found = self.function(genome, seed=seed) if "seed" in _parameters(self.function) else self.function(genome)
        if isinstance(found, Failed):
            return found
        if not isinstance(found, Mapping) or not found:
            return Failed("bug", f"evaluate must return objectives by name, or Failed; it returned {found!r}.")
        return Evaluated(objectives={name: float(value) for name, value in found.items()})


def _problem(
    space: SearchSpace[G],
    cheap: Callable[[G], Mapping[str, float]] | None,
    *,
    expensive: Sequence[str] | None,
    initial: Sequence[G],
    bounds: Mapping[str, float],
    recorded: Sequence[str] | None,
    seed: int,
) -> Problem[G]:
    """Return the problem, with the expensive objectives on record or none yet."""
    specimen = initial[0] if initial else space.sample(rng=np.random.default_rng(seed))
    names = () if cheap is None else tuple(cheap(specimen))
    problem = Problem(
        space=space,
        expensive=UNNAMED,
        cheap=cheap or _nothing,
        cheap_objectives=names,
        constraints={name: bound for name, bound in bounds.items() if name in names},
        initial=tuple(initial),
    )
    if recorded is None:
        return problem if expensive is None else _named(problem, tuple(expensive), bounds)
    if expensive is not None and (*expensive, *names) != tuple(recorded):
        raise StudyError(
            f"The study minimises {', '.join(recorded)}; asked for are {', '.join((*expensive, *names))}. "
            "Use another study."
        )
    expensive = tuple(name for name in recorded if name not in names)
    missing = [name for name in names if name not in recorded]
    if missing or not expensive:
        raise StudyError(
            f"The study minimises {', '.join(recorded)}; the cheap objectives are {', '.join(names)}. "
            "All of those must be among the study's, which needs an expensive one besides. Use another study."
        )
    return _named(problem, expensive, bounds)


def _named(problem: Problem[G], expensive: tuple[str, ...], bounds: Mapping[str, float]) -> Problem[G]:
    """Return the problem with its expensive objectives and every constraint.

    Raises:
        ConfigError: an objective is cheap and expensive, or a constraint bounds none.
    """
    both = [name for name in expensive if name in problem.cheap_objectives]
    if both:
        raise ConfigError(f"An objective is cheap or expensive; got {both[0]!r} from both functions. Rename one.")
    named = replace(problem, expensive=expensive, constraints=dict(bounds))
    for name in bounds:
        if name not in named.objectives:
            raise ConfigError(f"A constraint bounds an objective; got {name!r}.{near_miss(name, named.objectives)}")
    return named


def _numbers(cheap: Callable[[G], Mapping[str, float]], genome: G) -> dict[str, float]:
    """Return cheap objectives as Python's numbers, whatever library they came from."""
    found = {}
    for name, value in cheap(genome).items():
        try:
            found[name] = float(value)
        except (TypeError, ValueError):
            raise ConfigError(f"A cheap objective is a number; got {name}={value!r} for {genome!r}.") from None
        if not math.isfinite(found[name]):
            raise ConfigError(f"A cheap objective is a finite number; got {name}={value!r} for {genome!r}.")
    return found


def _check_recorded(study: Study[G], space: SearchSpace[G]) -> None:
    """Check that the space still holds what a study has proposed.

    Raises:
        StudyError: it does not hold one of its genomes.
    """
    for candidate in (*(record.candidate for record in study.history()), *study.running()):
        if not space.contains(candidate.genome):
            raise StudyError(
                f"The study was made in another space: its trial {candidate.number}, {candidate.genome!r}, is not in "
                "this one. Use another study, or the space it was made in."
            )


def _parameters(function: Callable[..., object]) -> Collection[str]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # some callables written in C have none to look at
        return ()


def _nothing(_: Hashable) -> Mapping[str, float]:
    return {}


def _strategy(asked: str | tuple[str, Mapping[str, int]], problem: Problem[G]) -> Strategy[G]:
    name, settings = (asked, {}) if isinstance(asked, str) else asked
    return make_strategy(name, problem, settings)


def _new_executor(
    evaluation: Evaluate[G],
    make: Callable[[Evaluate[G]], Executor[G]] | Any,
    *,
    parallelism: int,
    deadline_s: float | None,
) -> Executor[G]:
    if make is not None:
        made: Executor[G] = make(evaluation)
        return made
    if parallelism == 1:
        return InProcessExecutor(evaluation, deadline_s=deadline_s)
    return ThreadsExecutor(evaluation, num_threads=parallelism, deadline_s=deadline_s)


def _check_search(*, seed: int, constraints: Mapping[str, float] | None, study: object) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"seed must be zero or a positive integer; got {seed!r}.")
    for name, bound in (constraints or {}).items():
        if isinstance(bound, bool) or not isinstance(bound, int | float) or math.isnan(bound):
            raise ConfigError(f"A constraint is an upper bound, a number; got {name}={bound!r}.")
    if study is not None and not isinstance(study, Study | Path | str):
        raise ConfigError(f"study must be a file, a postgresql:// URL or a Study; got {study!r}.")
    if isinstance(study, Path | str) and not is_url(study) and Path(study).is_dir():
        raise ConfigError(f"study must be a journal file; got the folder {study}. Name a file in it.")


def _check_limits(*, deadline_s: float | None, frontier_repeats: int, executor: object) -> None:
    if deadline_s is not None and not deadline_s > 0:
        raise ConfigError(f"deadline_s must be a positive number of seconds, or none; got {deadline_s!r}.")
    if deadline_s is not None and executor is not None:
        raise ConfigError(
            f"An executor has its own deadline; got deadline_s={deadline_s!r} besides. Leave one of the two out."
        )
    if isinstance(frontier_repeats, bool) or not isinstance(frontier_repeats, int) or frontier_repeats < 0:
        raise ConfigError(f"frontier_repeats must be zero or a positive integer; got {frontier_repeats!r}.")


def _check(
    space: SearchSpace[G], *, initial: Sequence[G], num_evaluations: int, parallelism: int, executor: object
) -> None:
    for name, value in (("num_evaluations", num_evaluations), ("parallelism", parallelism)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} must be a positive integer; got {value!r}.")
    if parallelism > 1 and executor is not None:
        raise ConfigError(
            f"An executor knows how many evaluations it runs at once; got parallelism={parallelism} besides. "
            "Leave one of the two out."
        )
    for place, genome in enumerate(initial):
        if not space.contains(genome):
            raise ConfigError(
                f"initial[{place}] does not lie in the space: {genome!r}. Widen the space, or leave it out."
            )
