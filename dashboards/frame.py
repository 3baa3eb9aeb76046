"""The results of a study as dashboards see them: one frame of trials and what is known about all of them.

The contract of this package, column by column. Knows no storage and draws nothing; whoever owns the study fills it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import ClassVar, Final, Literal, get_args

import pandas as pd

from search_spaces import Architecture
from search_spaces.errors import NasError

Status = Literal["finished", "failed", "infeasible", "stopped", "running"]
Origin = Literal["random", "seed", "mutation", "crossover", "suggested", "repeat"]
State = Literal["running", "finished", "interrupted"]

EVOLVED: Final[tuple[Origin, ...]] = ("mutation", "crossover", "suggested")
"""Origins that the strategy proposed; `random` and `seed` start it."""


class FrameError(NasError, ValueError):
    """The results do not follow the contract of `dashboards.frame`."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the trials."""

    name: str
    dtype: str
    """The dtype of an empty frame; a filled one may use any that holds the same values."""

    meaning: str


COLUMNS: Final = (
    Column(name="number", dtype="int64", meaning="Trial number, unique, in the order of proposal."),
    Column(
        name="status",
        dtype="str",
        meaning="finished, failed, infeasible (breaks a limit), stopped (early, being worse) or running.",
    ),
    Column(name="origin", dtype="str", meaning="random, seed (given), mutation, crossover, suggested or repeat."),
    Column(name="parent", dtype="Int64", meaning="Number of the parent; null for random, seed and suggested."),
    Column(name="mutation", dtype="str", meaning="What changed against the parent, in words; may be null."),
    Column(
        name="repeat_of",
        dtype="Int64",
        meaning="Number of the trial this one evaluates again with another seed, to know the noise. Such a row is no "
        "candidate of its own: it is on no frontier and in no count.",
    ),
    Column(name="fingerprint", dtype="str", meaning="Identity of the candidate."),
    Column(name="genome", dtype="str", meaning="JSON of the genome."),
    Column(name="architecture", dtype="str", meaning="JSON of Architecture.to_dict(); null where there is none."),
    Column(name="pattern", dtype="str", meaning="Operators in pattern notation; null without an architecture."),
    Column(name="hidden_size", dtype="Int64", meaning="Width; null without an architecture."),
    Column(name="depth", dtype="Int64", meaning="Number of operators; null without an architecture."),
    Column(name="num_parameters", dtype="Int64", meaning="Parameters of the target; null without an architecture."),
    Column(name="bits_per_byte", dtype="float64", meaning="Bits per byte of the validation text; may be null."),
    Column(name="validation_loss", dtype="float64", meaning="Validation loss in nats per token; may be null."),
    Column(
        name="latency_by_operator",
        dtype="str",
        meaning="JSON object from operator name (attention, mamba2, …, and fixed for embedding, norm, head and launch) "
        "to milliseconds; may be null.",
    ),
    Column(
        name="measured_latency_ms",
        dtype="float64",
        meaning="Milliseconds the whole model took on the device, where it was timed; null elsewhere.",
    ),
    Column(
        name="curve",
        dtype="str",
        meaning="JSON list of [tokens, training loss, validation loss or null]; may be null.",
    ),
    Column(name="tokens_seen", dtype="Int64", meaning="Training tokens spent on the candidate; may be null."),
    Column(
        name="tokens_planned",
        dtype="Int64",
        meaning="Training tokens of the whole training; null where none could be stopped early.",
    ),
    Column(
        name="expected",
        dtype="float64",
        meaning="What the first objective would likely have become; null unless stopped.",
    ),
    Column(name="train_seconds", dtype="float64", meaning="Seconds spent on training it; may be null."),
    Column(name="failure_kind", dtype="str", meaning="Kind of failure in one word; null unless failed."),
    Column(name="failure_message", dtype="str", meaning="What went wrong, in words; null unless failed."),
    Column(
        name="num_attempts",
        dtype="Int64",
        meaning="Evaluations begun; above 1 where lost or overdue ones were repeated.",
    ),
    Column(
        name="num_evaluations",
        dtype="Int64",
        meaning="Evaluations under different seeds that the objectives are means of; null without a result.",
    ),
    Column(
        name="deviation",
        dtype="float64",
        meaning="Standard deviation of the first objective over these evaluations; null for a single one.",
    ),
    Column(name="started_at", dtype="datetime64[us, UTC]", meaning="When the trial was dispatched; may be null."),
    Column(name="finished_at", dtype="datetime64[us, UTC]", meaning="When its result was recorded; may be null."),
    Column(name="finish_index", dtype="Int64", meaning="Order in which results were recorded; null while running."),
    Column(name="is_frontier", dtype="bool", meaning="Whether it is among the non-dominated candidates now."),
    Column(
        name="hypervolume",
        dtype="float64",
        meaning="Hypervolume of the archive just after this trial was recorded; null for repeats and running trials.",
    ),
)
"""Every column but the objectives, which each study names itself (float64, null where not known)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A column that is minimised, and how it is written."""

    column: str
    label: str
    """Name on an axis, without the unit."""

    unit: str = ""
    log: bool = False
    """Whether axes of this objective are logarithmic."""

    @property
    def title(self) -> str:
        """Label with unit, as an axis carries it."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


PERPLEXITY: Final = Objective(column="perplexity", label="Perplexity")
LATENCY_MS: Final = Objective(column="latency_ms", label="Latency", unit="ms")
NUM_PARAMETERS: Final = Objective(column="num_parameters", label="Parameters")
MEMORY_GIB: Final = Objective(column="memory_gib", label="Memory", unit="GiB")
RECALL_ERROR: Final = Objective(column="recall_error", label="Recall error")

KNOWN_OBJECTIVES: Final[Mapping[str, Objective]] = {
    objective.column: objective for objective in (PERPLEXITY, RECALL_ERROR, LATENCY_MS, NUM_PARAMETERS, MEMORY_GIB)
}
"""What a search over language models may minimise, by column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Evolution against random search at equal budget within one study, whichever way it went."""

    random_hypervolume: float
    evolved_hypervolume: float
    difference: float
    """Evolved minus random."""

    noise: float | None
    """How much of a difference the seed alone makes (one standard deviation); none where it was not measured."""

    num_each: int
    """Candidates in each half."""

    sentence: str
    """The verdict in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LongerTrained:
    """A candidate that was also trained longer."""

    number: int
    perplexity: float
    """In the study."""

    long_perplexity: float
    low: float
    """Of several longer trainings the best; where there is one, that one."""

    high: float
    num_parameters: int
    is_frontier: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreAgreement:
    """How one score ranks candidates against longer training."""

    name: str
    spearman: float
    low: float
    high: float
    is_ranked_by: bool
    """Whether the study ranks by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """How far the study's perplexities can be trusted, measured on candidates trained longer."""

    times: float
    """How many times as long."""

    candidates: tuple[LongerTrained, ...]
    scores: tuple[ScoreAgreement, ...]
    """In the order to show."""

    findings: tuple[str, ...]
    """Sentences with the figures found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A published architecture, priced as candidates are."""

    name: str
    figures: Mapping[str, float]
    """By column, in the columns' units; those not known, such as perplexity after this study's training, are absent."""

    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryAt:
    """What a model takes on the device with so many tokens in its cache."""

    context_tokens: int
    weight_bytes: int
    state_bytes: int
    """Cache of keys and values, recurrent states; of the workload's batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """What one architecture costs, in the detail that is worked out for one at a time."""

    floor_ms_by_operator: Mapping[str, float]
    """Milliseconds below which no kernel can come, since weights and states must be read at the device's bandwidth; by
    operator name as in `latency_by_operator`; empty where the bandwidth is not known."""

    memory: tuple[MemoryAt, ...]
    """By growing context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What the process that runs the search last said of itself."""

    at: datetime
    """When it said so, UTC."""

    num_running: int
    num_places: int
    """Candidates that could run at once."""

    num_cpus: float
    num_gpus: float
    """Of one candidate."""

    nodes: tuple[str, ...] = ()
    """Of the cluster, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedAndMeasured:
    """One model of a check of the latency table."""

    name: str
    hidden_size: int
    predicted_ms: float
    measured_ms: float

    @property
    def error(self) -> float:
        """(predicted − measured) / measured."""
        return self.predicted_ms / self.measured_ms - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationPicture:
    """A check of a latency table against whole models, with the words that go with it."""

    title: str
    device: str
    workload: str
    findings: Sequence[str]
    """Sentences with the figures found."""

    models: Sequence[PredictedAndMeasured]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingRun:
    """A training of a whole model, finished or not."""

    name: str
    events: pd.DataFrame
    """One row an event, oldest first, with `step` and `tokens`; further columns are `loss`, `learning_rate`,
    `gradient_norm`, `weight_norm`, `tokens_per_s`, `mfu`, `seconds`, `validation_loss`, `perplexity` and
    `bits_per_byte`, null or absent where not known."""

    state: State
    model: str
    """The architecture in words."""

    num_parameters: int
    planned_tokens: int
    device: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Results:
    """Everything a report or a dashboard shows of a study."""

    title: str

    trials: pd.DataFrame
    """One row a trial, with `COLUMNS` and one column per objective. Read, never written."""

    objectives: tuple[Objective, ...] = (PERPLEXITY, LATENCY_MS)
    """The first is drawn upwards, the second to the right; further ones appear in words."""

    provenance: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Where the figures come from, in the order to show: device, workload, proxy, corpus hash, seed, versions, …"""

    comparison: Comparison | None = None
    fidelity: Fidelity | None = None
    """None where no candidate was trained longer."""

    trainings: tuple[TrainingRun, ...] = ()
    """Of its candidates, at full length."""

    planned_evaluations: int
    """The budget, repeats not counted."""

    state: State

    limits: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Upper bounds by column name."""

    caveats: tuple[str, ...] = ()
    """What a reader must know before believing the figures, such as a latency table that was never validated."""

    knee: int | None = None
    """Number of the frontier's member where more of one objective begins to cost much of the other."""

    references: tuple[Reference, ...] = ()
    """Published architectures that this study's table can price."""

    price: Callable[[Architecture], Priced] | None = None
    """Works out what an architecture costs in detail; none where nothing is priced."""

    spec_text: Callable[[Architecture], str] | None = None
    """Writes an architecture as a file that other commands read."""

    directory: str = ""
    """Where the run lies, as a command names it; empty where it has no directory."""

    activity: Activity | None = None
    """None where nobody has said anything, as in a run that has ended or was made by an earlier version."""

    validation: ValidationPicture | None = None
    """None where the latency table was never checked."""

    def __post_init__(self) -> None:
        if not self.objectives:
            raise FrameError("Results need at least one objective; got none.")
        if self.state not in get_args(State):
            raise FrameError(f"Results.state must be one of {', '.join(get_args(State))}; got {self.state!r}.")
        validate(self.trials, objectives=self.objectives)


def validate(trials: pd.DataFrame, *, objectives: Iterable[Objective]) -> None:
    """Check the trials against the contract.

    Raises:
        FrameError: a column is missing, a status or origin is unknown, or a number is not unique.
    """
    expected = [column.name for column in COLUMNS] + [objective.column for objective in objectives]
    missing = [name for name in expected if name not in trials.columns]
    if missing:
        raise FrameError(
            f"The trials must have every column of dashboards.frame.COLUMNS and of the objectives; "
            f"missing: {', '.join(missing)}. Start from empty_frame(), which has them all."
        )
    for name, allowed in (("status", get_args(Status)), ("origin", get_args(Origin))):
        unknown = sorted({str(value) for value in trials[name]} - set(allowed))
        if unknown:
            raise FrameError(f"Column {name} may hold {', '.join(allowed)}; got {', '.join(unknown)}.")
    duplicated = trials["number"][trials["number"].duplicated()]
    if len(duplicated):
        raise FrameError(f"Column number must be unique; got {duplicated.iloc[0]} more than once.")


def empty_frame(*, objectives: Iterable[Objective] = (PERPLEXITY, LATENCY_MS)) -> pd.DataFrame:
    """Return trials with every column and no row."""
    dtypes = {column.name: column.dtype for column in COLUMNS}
    dtypes |= {objective.column: "float64" for objective in objectives}
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in dtypes.items()})
