"""Which rows a search needs, and which of them a table lacks.

Deciding only; timing them is `measure.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from latency.rows import FIXED_PARTS, OPERATOR_PART, RowKey, meta_tokens_that_matter, most_context, operator_key
from latency.workload import Dtype, Phase, Workload
from search_spaces.architecture import Architecture
from search_spaces.specs import OperatorSpec

if TYPE_CHECKING:
    from latency.table import LatencyTable


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementRequest:
    """One row to measure: an operator (`spec`), or a fixed part of a model without one."""

    part: str
    spec: OperatorSpec | None = None
    hidden_size: int
    vocab_size: int = 0
    phase: Phase
    batch_size: int
    context_tokens: int
    dtype: Dtype
    num_meta_tokens: int = 0

    @property
    def key(self) -> RowKey:
        """The key of the row this measures."""
        return RowKey(
            part=self.part,
            operator="" if self.spec is None else operator_key(self.spec),
            hidden_size=self.hidden_size,
            vocab_size=self.vocab_size,
            phase=self.phase,
            batch_size=self.batch_size,
            context_tokens=self.context_tokens,
            dtype=self.dtype,
            num_meta_tokens=self.num_meta_tokens,
        )

    def describe(self) -> str:
        """Return what is to be timed, in short words."""
        return self.key.describe()


def requests_for(
    operators: Iterable[tuple[int, OperatorSpec]],
    *,
    fixed: Iterable[tuple[int, int]],
    workload: Workload,
    num_meta_tokens: int = 0,
) -> list[MeasurementRequest]:
    """Return every row that pricing these operators under a workload needs, each once.

    Args:
        operators: pairs of hidden size and spec, as `ArchitectureSpace.distinct_operators` yields.
        fixed: pairs of hidden size and vocabulary whose embedding, head and other fixed parts are needed.
        workload: what will be predicted.
        num_meta_tokens: meta tokens of the architectures; they count as context of every decode step, and every
            prompt is read behind them.
    """
    prefills = workload.prefill_lengths
    contexts = workload.contexts(num_meta_tokens=num_meta_tokens)
    requests: dict[RowKey, MeasurementRequest] = {}
    for hidden_size, spec in operators:
        limit = most_context(spec, num_meta_tokens=num_meta_tokens)
        needed: list[tuple[Phase, int]] = [("prefill", tokens) for tokens in prefills]
        needed += [("decode", tokens if limit is None else min(tokens, limit)) for tokens in contexts]
        for phase, tokens in needed:
            request = MeasurementRequest(
                part=OPERATOR_PART,
                spec=spec,
                hidden_size=hidden_size,
                phase=phase,
                batch_size=workload.batch_size,
                context_tokens=tokens,
                dtype=workload.dtype,
                num_meta_tokens=meta_tokens_that_matter(spec, phase=phase, num_meta_tokens=num_meta_tokens),
            )
            requests.setdefault(request.key, request)
    fixed_at: list[tuple[Phase, int]] = [("prefill", tokens) for tokens in prefills]
    fixed_at += [("decode", 0)] if contexts else []
    for hidden_size, vocab_size in fixed:
        for phase, tokens in fixed_at:
            for part in FIXED_PARTS:
                request = MeasurementRequest(
                    part=part,
                    hidden_size=hidden_size,
                    vocab_size=vocab_size,
                    phase=phase,
                    batch_size=workload.batch_size,
                    context_tokens=tokens,
                    dtype=workload.dtype,
                )
                requests.setdefault(request.key, request)
    return list(requests.values())


def requests_for_architecture(architecture: Architecture, *, workload: Workload) -> list[MeasurementRequest]:
    """Return every row that predicting one architecture needs."""
    width = architecture.hidden_size
    return requests_for(
        [(width, spec) for spec in architecture.operators],
        fixed=[(width, architecture.vocab_size)],
        workload=workload,
        num_meta_tokens=architecture.num_meta_tokens,
    )


def missing(requests: Iterable[MeasurementRequest], table: "LatencyTable | None") -> list[MeasurementRequest]:
    """Return the requests the table holds no time for; one that failed, or ran older kernels, is asked again."""
    if table is None:
        return list(requests)
    return [
        request for request in requests if (row := table.get(request.key)) is None or row.failure or row.is_outdated
    ]
