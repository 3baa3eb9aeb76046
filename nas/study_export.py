"""A study on its way out and in: copied into another Optuna storage, for other tools to read and to come back exactly.

What comes back is read from the same attributes that a search writes; beside them stand parameters, constraints and
words that tools such as optuna-dashboard show, and the run's configuration, so that a run directory can be made again.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.candidates import Record
from nas.config import SearchConfig, StudyConfig
from nas.errors import NoStudyError, StorageError, StudyInUseError
from nas.storage.open import open_storage
from nas.storage.patience import PatientStorage
from nas.storage.url import is_url
from nas.study_format import ATTEMPTS, CANDIDATE, OBJECTIVES, RESULT, SCHEMA, ReadTrial, StoredTrial, read_trial
from search_spaces import Architecture, SearchSpace

CONFIG: Final = "hybridnas:config"
ENVIRONMENT: Final = "hybridnas:environment"
"""Attributes of an exported study: files of its run directory."""

_SQLITE: Final = "sqlite:///"
_METRIC_NAMES: Final = "study:metric_names"
_COUNT: Final = "num_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedStudy:
    """A study among others of a storage."""

    name: str
    objectives: tuple[str, ...]
    num_trials: int
    is_ours: bool
    """Whether a search wrote it."""


@contextmanager
def opened(where: str, *, to_read: bool = False) -> Iterator[BaseStorage]:
    """Open a journal file, or a database by a `postgresql://` or `sqlite:///` URL.

    Args:
        where: URL or file.
        to_read: make no file where there is none.

    Raises:
        ConfigError: a URL of another kind of storage.
        StorageError: the database cannot be reached, or there is no such file to read.
    """
    optuna.logging.set_verbosity(logging.WARNING)  # it would announce every study on standard error
    is_sqlite = is_url(where) and urlsplit(where).scheme == "sqlite"
    file = None if is_url(where) and not is_sqlite else Path(where.removeprefix(_SQLITE))
    if to_read and file is not None and not file.is_file():
        raise StorageError(f"A storage to read must exist; there is no file {file}. Name one, or a database's URL.")
    if is_sqlite:
        database = RDBStorage(where)
        try:
            yield database
        finally:
            database.remove_session()
            database.engine.dispose()
        return
    storage = open_storage(where)
    try:
        yield storage
    finally:
        if isinstance(storage, PatientStorage):
            storage.release()


def list_studies(storage: BaseStorage) -> list[ListedStudy]:
    """Return the studies of a storage, by name."""
    return sorted(
        (
            ListedStudy(
                name=study.study_name,
                objectives=tuple(study.user_attrs.get(OBJECTIVES) or study.system_attrs.get(_METRIC_NAMES) or ()),
                num_trials=storage.get_n_trials(study._study_id),
                is_ours=OBJECTIVES in study.user_attrs,
            )
            for study in storage.get_all_studies()
        ),
        key=lambda study: study.name,
    )


def export_study(
    source: BaseStorage,
    target: BaseStorage,
    *,
    source_name: str,
    name: str,
    space: SearchSpace[Any],
    config: SearchConfig,
    environment: str | None = None,
) -> int:
    """Copy a run's study, made readable, and return how many trials it has.

    Args:
        source: where it lies.
        target: where it goes.
        source_name: its name there.
        name: its name here.
        space: reads genomes.
        config: of the search; it goes with the study, all but where that lies.
        environment: what the search was made with, as JSON.

    Raises:
        NoStudyError: the source has no such study.
        StudyInUseError: the target has one of that name.
    """
    trials = _trials(source, source_name)
    found = [
        read_trial(
            StoredTrial(number=trial.number, started_at=trial.datetime_start, attributes=trial.user_attrs), space=space
        )
        for trial in trials
    ]
    ranges = _ranges(trials)
    copies = [_readable(trial, read, ranges=ranges, config=config) for trial, read in zip(trials, found, strict=True)]
    # Where the study lies may hold a password, and is elsewhere now.
    texts = {CONFIG: config.model_copy(update={"study": StudyConfig()}).to_yaml()}
    if environment is not None:
        texts[ENVIRONMENT] = environment
    _write(source, target, copies, source_name=source_name, name=name, attributes=texts)
    return len(copies)


def import_study(source: BaseStorage, target: BaseStorage, *, source_name: str, name: str) -> int:
    """Copy an exported study as a search writes it, and return how many trials it has.

    Raises:
        NoStudyError: the source has no such study, or a search did not write it.
        StudyInUseError: the target has one of that name.
    """
    trials = _trials(source, source_name)
    _write(source, target, [_plain(trial) for trial in trials], source_name=source_name, name=name, attributes={})
    return len(trials)


def exported_files(source: BaseStorage, name: str) -> Mapping[str, str]:
    """Return the texts of the run's files that went with an exported study, by attribute."""
    attributes = source.get_study_user_attrs(source.get_study_id_from_name(name))
    return {key: attributes[key] for key in (CONFIG, ENVIRONMENT) if key in attributes}


def _trials(source: BaseStorage, name: str) -> list[FrozenTrial]:
    names = [study.study_name for study in source.get_all_studies()]
    if name not in names:
        raise NoStudyError(f"The storage holds {', '.join(map(repr, names)) or 'no study'}; got {name!r}. Name one.")
    study_id = source.get_study_id_from_name(name)
    if OBJECTIVES not in source.get_study_user_attrs(study_id):
        raise NoStudyError(f"Only a study that a search wrote comes back; {name!r} is another's. Name one of ours.")
    return source.get_all_trials(study_id, deepcopy=False)


def _write(
    source: BaseStorage,
    target: BaseStorage,
    trials: Sequence[FrozenTrial],
    *,
    source_name: str,
    name: str,
    attributes: Mapping[str, str],
) -> None:
    if isinstance(target, PatientStorage):
        target.claim(name)
    if name in {study.study_name for study in target.get_all_studies()}:
        raise StudyInUseError(f"A study is copied under a new name; the storage has {name!r}. Choose another.")
    known = source.get_study_user_attrs(source.get_study_id_from_name(source_name))
    study_id = target.create_new_study([StudyDirection.MINIMIZE] * len(known[OBJECTIVES]), name)
    target.set_study_system_attr(study_id, _METRIC_NAMES, list(known[OBJECTIVES]))
    for trial in trials:
        target.create_new_trial(study_id, trial)
    others = {key: value for key, value in known.items() if key not in (SCHEMA, CONFIG, ENVIRONMENT)}
    for key, value in {**others, **attributes}.items():
        target.set_study_user_attr(study_id, key, value)
    # Last, so that a copy broken off has none.
    target.set_study_user_attr(study_id, SCHEMA, known[SCHEMA])


def _plain(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial with what a search writes and nothing else."""
    kept: dict[str, Any] = {
        key: trial.user_attrs[key] for key in (ATTEMPTS, RESULT, CANDIDATE) if key in trial.user_attrs
    }
    return _copy(trial, params=trial.params, distributions=trial.distributions, attributes=kept, constraints={})


def _readable(
    trial: FrozenTrial,
    read: ReadTrial[Any],
    *,
    ranges: Mapping[str, BaseDistribution],
    config: SearchConfig,
) -> FrozenTrial:
    params = {name: trial.params.get(name, 0) for name in ranges}
    objectives = {} if read.record is None else read.record.objectives
    return _copy(
        trial,
        params=params,
        distributions=ranges,
        attributes={**_words(read, config.objectives), **_plain(trial).user_attrs},
        constraints={name: objectives[name] - bound for name, bound in config.bounds.items() if name in objectives},
    )


def _copy(
    trial: FrozenTrial,
    *,
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    attributes: Mapping[str, Any],
    constraints: Mapping[str, float],
) -> FrozenTrial:
    copy = create_trial(
        state=trial.state,
        values=trial.values if trial.state == TrialState.COMPLETE else None,
        params=dict(params),
        distributions=dict(distributions),
        # The candidate last: what follows it, a reader of the journal would have to read with it.
        user_attrs=dict(sorted(attributes.items(), key=lambda item: item[0] == CANDIDATE)),
        constraints=dict(constraints),
    )
    copy.datetime_start = trial.datetime_start
    copy.datetime_complete = trial.datetime_complete
    return copy


def _ranges(trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
    """Return what each parameter ranges over; a count that a trial does not name is zero there."""
    seen: dict[str, list[int]] = {}
    for trial in trials:
        for name, value in trial.params.items():
            seen.setdefault(name, []).append(value)
    times = Counter({name: len(values) for name, values in seen.items()})
    return {
        name: IntDistribution(0 if times[name] < len(trials) else min(values), max(values))
        for name, values in seen.items()
        if times[name] == len(trials) or name.startswith(_COUNT)
    }


def _words(read: ReadTrial[Any], objectives: Collection[str]) -> dict[str, Any]:
    candidate, record = read.candidate, read.record
    proposal = candidate.proposal
    words: dict[str, Any] = {
        "fingerprint": candidate.fingerprint,
        "origin": proposal.origin,
        "parent": proposal.parent,
        "mutation": proposal.mutation or None,
        "repeat_of": proposal.repeat_of,
        "num_attempts": len(read.attempts) + 1,
    }
    if "target" in candidate.description:
        words["pattern"] = Architecture.from_dict(candidate.description["target"]).pattern
    return {key: value for key, value in (words | _ended(record, objectives)).items() if value is not None}


def _ended(record: Record[Any] | None, objectives: Collection[str]) -> dict[str, Any]:
    if record is None:
        return {}
    failure = record.failure
    return {
        "status": record.status,
        "failure": None if failure is None else f"{failure.kind}: {failure.message}",
        **{name: value for name, value in record.objectives.items() if name not in objectives},
    }
