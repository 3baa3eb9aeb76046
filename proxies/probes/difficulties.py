"""The tasks by name, each at three difficulties: `tiny` for tests, `small` for a CPU, `full` for a GPU.

`full` has the baselines of MAD [arXiv 2403.17844] and the lengths of the other sources; `small` is what a model of
width 64 begins to tell from chance on one CPU core in seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from proxies.errors import SettingsError
from proxies.probes.compression import Compression
from proxies.probes.copying import SelectiveCopying
from proxies.probes.fuzzy_recall import FuzzyInContextRecall
from proxies.probes.in_context_recall import InContextRecall, NoisyInContextRecall
from proxies.probes.memorization import Memorization
from proxies.probes.multi_query_recall import MultiQueryRecall
from proxies.probes.needle import NeedleRetrieval
from proxies.probes.phonebook import Phonebook
from proxies.probes.suite import Probe, ProbeSuite
from proxies.probes.task import ProbeTask
from proxies.settings import TrainingSettings
from search_spaces.errors import near_miss

Difficulty = Literal["tiny", "small", "full"]


@dataclass(frozen=True, slots=True)
class _Levels:
    """One task at every difficulty."""

    tiny: ProbeTask
    small: ProbeTask
    full: ProbeTask

    def at(self, difficulty: Difficulty) -> ProbeTask:
        return {"tiny": self.tiny, "small": self.small, "full": self.full}[difficulty]


_TASKS: Final = {
    "in_context_recall": _Levels(
        InContextRecall(num_pairs=12, num_keys=4, num_values=4),
        InContextRecall(num_pairs=20),
        InContextRecall(),
    ),
    "fuzzy_in_context_recall": _Levels(
        FuzzyInContextRecall(num_tokens=24, num_keys=3, num_key_tokens=4, num_value_tokens=4, longest_motif=2),
        FuzzyInContextRecall(num_tokens=48, num_keys=4),
        FuzzyInContextRecall(),
    ),
    "noisy_in_context_recall": _Levels(
        NoisyInContextRecall(num_pairs=12, num_keys=4, num_values=4, num_noise_tokens=4),
        NoisyInContextRecall(num_pairs=20),
        NoisyInContextRecall(),
    ),
    "selective_copying": _Levels(
        SelectiveCopying(num_tokens=12, num_to_copy=3, num_symbols=4),
        SelectiveCopying(num_tokens=32, num_to_copy=6, num_symbols=8),
        SelectiveCopying(),
    ),
    "compression": _Levels(
        Compression(num_tokens=4, num_symbols=4),
        Compression(num_tokens=7, num_symbols=8),
        Compression(),
    ),
    "memorization": _Levels(
        Memorization(num_pairs=4, num_facts=8),
        Memorization(num_pairs=16, num_facts=127),
        Memorization(),
    ),
    "multi_query_recall": _Levels(
        MultiQueryRecall(num_tokens=16, num_pairs=2, num_keys=8, num_values=8, power=1.0),
        MultiQueryRecall(num_tokens=32, num_pairs=8, num_keys=16, num_values=16, power=1.0),
        MultiQueryRecall(num_tokens=256, num_pairs=64),
    ),
    "phonebook": _Levels(
        Phonebook(num_entries=3, num_digits=2, num_given_names=4, num_family_names=4, num_questions=2),
        Phonebook(num_entries=6, num_digits=2, num_given_names=4, num_family_names=4, num_questions=3),
        Phonebook(num_entries=64, num_digits=6, num_given_names=64, num_family_names=64, num_questions=4),
    ),
    "needle_retrieval": _Levels(
        NeedleRetrieval(num_tokens=16, num_needles=2, num_questions=2, num_keys=4, num_values=4, num_fillers=2),
        NeedleRetrieval(num_tokens=32, num_needles=3, num_questions=3, num_keys=8, num_values=8, num_fillers=8),
        NeedleRetrieval(num_tokens=1024, num_needles=8, num_questions=2, num_keys=64, num_values=64),
    ),
}

TASK_NAMES: Final = tuple(_TASKS)

_TRAINING: Final[dict[Difficulty, TrainingSettings]] = {
    "tiny": TrainingSettings(steps=40, batch_size=8, learning_rate=1e-2, weight_decay=0.0, validation_sequences=16),
    "small": TrainingSettings(steps=300, batch_size=16, learning_rate=5e-3, weight_decay=0.0, validation_sequences=64),
    "full": TrainingSettings(
        steps=5000, batch_size=128, learning_rate=1e-3, weight_decay=0.0, validation_sequences=512
    ),
}

_TIMES_LONGER: Final = (2, 4)
"""Lengths at which needles are looked for as well, as multiples of the one trained on."""


def check_difficulty(name: str) -> Difficulty:
    """Return a difficulty by name.

    Raises:
        SettingsError: there is no such difficulty.
    """
    for difficulty in get_args(Difficulty):
        if name == difficulty:
            known: Difficulty = difficulty
            return known
    raise SettingsError(f"Unknown difficulty {name!r}.{near_miss(name, get_args(Difficulty))}")


def make_probe(name: str, *, difficulty: Difficulty) -> Probe:
    """Return a task by name with how it is trained.

    Raises:
        SettingsError: there is no such task or difficulty.
    """
    if name not in _TASKS:
        raise SettingsError(f"There is no probe {name!r}.{near_miss(name, TASK_NAMES)}")
    task = _TASKS[name].at(check_difficulty(difficulty))
    longer: tuple[ProbeTask, ...] = ()
    if isinstance(task, NeedleRetrieval):
        longer = tuple(replace(task, num_tokens=times * task.num_tokens) for times in _TIMES_LONGER)
    return Probe(name=name, task=task, settings=_TRAINING[difficulty], longer=longer)


def make_suite(difficulty: Difficulty, *, tasks: Sequence[str] = TASK_NAMES) -> ProbeSuite:
    """Return a suite of tasks by name, all of them unless said otherwise.

    Raises:
        SettingsError: an unknown task or difficulty, no task, or one named twice.
    """
    return ProbeSuite(probes=tuple(make_probe(name, difficulty=difficulty) for name in tasks))
