"""What probes return: accuracies, and one number for a suite of them; or why there is none."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from proxies.result import ProxyStatus
from search_spaces.strict import from_mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutAnswers:
    """How well a trained model answered fresh questions of one length."""

    num_tokens: int
    """Length of the sequences."""

    accuracy: float
    """Share of the asked tokens for which the right answer was the likeliest of all tokens."""

    loss: float
    """Nats per answer."""

    chance: float
    """Accuracy of the best answer that does not look at the sequence."""

    @property
    def score(self) -> float:
        """Where the accuracy lies between chance, 0, and 1; not below 0."""
        return max(0.0, (self.accuracy - self.chance) / (1 - self.chance))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What one architecture learnt of one task, or why there is no score."""

    status: ProxyStatus
    message: str = ""
    """Why there is no score; empty when finished."""

    answers: tuple[HeldOutAnswers, ...] = ()
    """At the length trained on, then at those beyond; none unless finished."""

    steps: int = 0
    """Of training, those of a divergence included."""

    seconds: float = 0.0
    """Wall time, building and held-out questions included."""

    @property
    def accuracy(self) -> float | None:
        """At the length trained on."""
        return self.answers[0].accuracy if self.answers else None

    @property
    def score(self) -> float | None:
        """Mean over the lengths of the accuracy between chance, 0, and 1."""
        return fmean(answer.score for answer in self.answers) if self.answers else None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping that `from_dict` reads back unchanged."""
        return {**asdict(self), "answers": [asdict(answer) for answer in self.answers]}

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "ProbeResult":
        """Read what `to_dict` wrote.

        Raises:
            SpecError: an unknown or missing field.
        """
        answers = (from_mapping(HeldOutAnswers, each, where="probe answers") for each in mapping.get("answers", ()))
        return from_mapping(cls, {**mapping, "answers": tuple(answers)}, where="probe result")


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteResult:
    """What one architecture learnt of several tasks."""

    probes: Mapping[str, ProbeResult]
    """By the task's name. Nothing follows one that did not finish."""

    @property
    def unfinished(self) -> tuple[str, ProbeResult] | None:
        """The task without a score and why, if there is one."""
        return next(((name, probe) for name, probe in self.probes.items() if probe.status != "finished"), None)

    @property
    def recall_error(self) -> float | None:
        """1 minus the mean score: 0 where everything was answered, 1 at chance; none if a task has no score."""
        scores = [probe.score for probe in self.probes.values()]
        known = [score for score in scores if score is not None]
        return 1 - fmean(known) if len(known) == len(scores) else None

    @property
    def seconds(self) -> float:
        """Of all tasks."""
        return sum(probe.seconds for probe in self.probes.values())

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping that `from_dict` reads back unchanged."""
        return {name: probe.to_dict() for name, probe in self.probes.items()}

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "SuiteResult":
        """Read what `to_dict` wrote.

        Raises:
            SpecError: an unknown or missing field.
        """
        return cls(probes={name: ProbeResult.from_dict(probe) for name, probe in mapping.items()})
