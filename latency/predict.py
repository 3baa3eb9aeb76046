"""Predict a whole model's latency as the sum of its operators and the fixed parts, beside the floor that memory sets.

It only adds up measured rows: what the table lacks is an error that says how to measure it. Times are milliseconds.
"""

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from latency.lookup import CurveKey, UnmeasuredError
from latency.memory import DTYPE_BYTES
from latency.plan import missing, requests_for_architecture
from latency.rows import (
    FIXED_PARTS,
    OPERATOR_PART,
    meta_tokens_that_matter,
    most_context,
    operator_key,
    operator_name,
)
from latency.table import LatencyTable
from latency.workload import Phase, Workload
from operators.traffic import decode_bytes_by_operator
from search_spaces.architecture import Architecture
from search_spaces.dimensions import architecture_from_pattern
from search_spaces.errors import SpecError
from search_spaces.references import load_reference, reference_names
from search_spaces.specs import FlaSpec, OperatorSpec

FIXED = "fixed"
"""Name under which a breakdown adds up embedding, final norm, head, sampling and overhead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a workload is predicted to take on the table's device."""

    milliseconds: float

    interval_ms: tuple[float, float] | None
    """Bounds from the residuals of a validation; none if the table was never validated."""

    by_operator: Mapping[str, float]
    """Milliseconds by operator name, plus `fixed`; they sum to `milliseconds`."""

    prefill_ms: float
    decode_ms: float

    tokens_per_second: float
    """Tokens generated (for a prefill workload: prompt tokens processed) per second, over the whole batch."""

    floor_ms: float | None
    """What decoding takes at least where every step reads its weights, caches and states from memory; none for a
    workload without decoding, a table without the device's bandwidth, or layers of fla, whose traffic is not known."""

    @property
    def times_above_floor(self) -> float | None:
        """`decode_ms` over `floor_ms`; below 1 where weights stay in a cache."""
        return None if self.floor_ms is None else self.decode_ms / self.floor_ms

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            "milliseconds": self.milliseconds,
            "interval_ms": None if self.interval_ms is None else list(self.interval_ms),
            "by_operator": dict(self.by_operator),
            "prefill_ms": self.prefill_ms,
            "decode_ms": self.decode_ms,
            "tokens_per_second": self.tokens_per_second,
            "floor_ms": self.floor_ms,
        }


def predict(architecture: Architecture, workload: Workload, table: LatencyTable) -> Prediction:
    """Return the predicted latency of one architecture, summed over its operators and the fixed parts.

    Decoding adds up one step per generated token, each at its own context, piecewise linear between measured contexts.
    Meta tokens count as context of those steps; they are in the cache before the prompt comes and do not lengthen it,
    but attention reads the prompt behind them.

    Raises:
        UnmeasuredError: the table lacks a row; the message names what is missing and the command that measures it.
    """
    try:
        prefill_ms = _prefill_ms(architecture, workload, table) if workload.has_prefill else {}
        decode_ms = _decode_ms(architecture, workload, table) if workload.has_decode else {}
    except UnmeasuredError as error:
        raise UnmeasuredError(_explain(architecture, workload, table, reason=str(error))) from error
    by_operator = {
        name: prefill_ms.get(name, 0.0) + decode_ms.get(name, 0.0) for name in dict.fromkeys((*prefill_ms, *decode_ms))
    }
    milliseconds = sum(by_operator.values())
    validation = table.validation(workload)
    tokens = workload.batch_size * (workload.generated_tokens if workload.has_decode else workload.prompt_tokens)
    return Prediction(
        milliseconds=milliseconds,
        interval_ms=None if validation is None else validation.interval_ms(milliseconds),
        by_operator=by_operator,
        prefill_ms=sum(prefill_ms.values()),
        decode_ms=sum(decode_ms.values()),
        tokens_per_second=1000 * tokens / milliseconds,
        floor_ms=_floor_ms(architecture, workload, table),
    )


def _floor_ms(architecture: Architecture, workload: Workload, table: LatencyTable) -> float | None:
    floors = floor_ms_by_operator(architecture, workload, table)
    return sum(floors.values()) if floors else None


def floor_ms_by_operator(architecture: Architecture, workload: Workload, table: LatencyTable) -> dict[str, float]:
    """Return what decoding takes at least, by the names of `Prediction.by_operator`.

    Empty where no floor is known: for a workload without decoding, a table without the device's bandwidth, or layers of
    fla, whose traffic is not known.
    """
    bandwidth = table.read_bytes_per_second
    is_known = not any(isinstance(spec, FlaSpec) for spec in architecture.operators)
    if bandwidth is None or not workload.has_decode or not is_known:
        return {}
    moved, others = decode_bytes_by_operator(
        architecture,
        batch_size=workload.batch_size,
        first_context=workload.prompt_tokens,
        num_steps=workload.generated_tokens,
        dtype_bytes=DTYPE_BYTES[workload.dtype],
    )
    floors: dict[str, float] = defaultdict(float)
    for spec, num_bytes in zip(architecture.operators, moved, strict=True):
        floors[operator_name(spec)] += 1000 * num_bytes / bandwidth
    return {**floors, FIXED: 1000 * others / bandwidth}


def _prefill_ms(architecture: Architecture, workload: Workload, table: LatencyTable) -> dict[str, float]:
    tokens = workload.prompt_tokens
    result: dict[str, float] = defaultdict(float)
    for name, spec, count in _distinct(architecture):
        key = _operator_curve(architecture, workload, spec, phase="prefill")
        time_us = table.lookup.microseconds(key, batch_size=workload.batch_size, context_tokens=tokens)
        result[name] += count * time_us / 1000
    for part in FIXED_PARTS:
        key = _fixed_curve(architecture, workload, part, phase="prefill")
        result[FIXED] += table.lookup.microseconds(key, batch_size=workload.batch_size, context_tokens=tokens) / 1000
    return result


def _decode_ms(architecture: Architecture, workload: Workload, table: LatencyTable) -> dict[str, float]:
    result: dict[str, float] = defaultdict(float)
    for name, spec, count in _distinct(architecture):
        time_us = table.lookup.sum_microseconds(
            _operator_curve(architecture, workload, spec, phase="decode"),
            batch_size=workload.batch_size,
            first_context=workload.prompt_tokens + architecture.num_meta_tokens,
            num_steps=workload.generated_tokens,
            most_context=most_context(spec, num_meta_tokens=architecture.num_meta_tokens),
        )
        result[name] += count * time_us / 1000
    for part in FIXED_PARTS:
        key = _fixed_curve(architecture, workload, part, phase="decode")
        step_us = table.lookup.microseconds(key, batch_size=workload.batch_size, context_tokens=0)
        result[FIXED] += workload.generated_tokens * step_us / 1000
    return result


def _distinct(architecture: Architecture) -> Iterator[tuple[str, OperatorSpec, int]]:
    for spec, count in Counter(architecture.operators).items():
        yield operator_name(spec), spec, count


def _operator_curve(architecture: Architecture, workload: Workload, spec: OperatorSpec, *, phase: Phase) -> CurveKey:
    return CurveKey(
        part=OPERATOR_PART,
        operator=operator_key(spec),
        hidden_size=architecture.hidden_size,
        phase=phase,
        dtype=workload.dtype,
        num_meta_tokens=meta_tokens_that_matter(spec, phase=phase, num_meta_tokens=architecture.num_meta_tokens),
    )


def _fixed_curve(architecture: Architecture, workload: Workload, part: str, *, phase: Phase) -> CurveKey:
    return CurveKey(
        part=part,
        hidden_size=architecture.hidden_size,
        vocab_size=architecture.vocab_size,
        phase=phase,
        dtype=workload.dtype,
    )


def profile_command(architecture: Architecture, workload: Workload, table: LatencyTable) -> str:
    """Return the command that adds to a table every row a prediction of this architecture needs."""
    words = ["nas", "latency", "profile", "--arch", *_name(architecture), "--phase", workload.phase]
    for flag, value in (
        ("--batch-size", workload.batch_size),
        ("--prompt-tokens", workload.prompt_tokens),
        ("--generated-tokens", workload.generated_tokens),
        ("--dtype", workload.dtype),
        ("--device", table.fingerprint.kind),
    ):
        words += [flag, str(value)]
    if table.fingerprint.kind == "cpu":
        words += ["--num-threads", str(table.fingerprint.num_threads)]
    if table.path is not None:
        words += ["--table", str(table.path)]
    return shlex.join(words)


def _name(architecture: Architecture) -> list[str]:
    # A published architecture has a name, one of default dimensions a pattern; any other needs its spec file.
    for name in reference_names():
        if load_reference(name) == architecture:
            return [name]
    width, vocab_size = architecture.hidden_size, architecture.vocab_size
    try:
        default = architecture_from_pattern(architecture.pattern, hidden_size=width, vocab_size=vocab_size)
    except SpecError:
        return ["ARCHITECTURE.yaml"]
    if default.operators != architecture.operators or architecture.num_meta_tokens:
        return ["ARCHITECTURE.yaml"]
    return [architecture.pattern, "--hidden-size", str(width), "--vocab-size", str(vocab_size)]


def _explain(architecture: Architecture, workload: Workload, table: LatencyTable, *, reason: str) -> str:
    requests = requests_for_architecture(architecture, workload=workload)
    absent = missing(requests, table)
    words = [request.describe() for request in absent[:3]]
    if len(absent) > len(words):
        words.append(f"{len(absent) - len(words)} more")
    outdated = sum(row.is_outdated for row in table)
    failures = [row.failure for request in absent if (row := table.get(request.key)) is not None]
    return (
        f"A prediction adds up measured times; the table of {table.fingerprint.device_name} ({len(table)} rows) lacks "
        f"{'; '.join(words)} ({reason})."
        + (f" Measuring failed before: {failures[0]}." if failures else "")
        + (f" {outdated} rows were measured with other kernels than these and do not count." if outdated else "")
        + f" Measure with: {profile_command(architecture, workload, table)}"
    )
