"""Time operators on a CPU in the company they keep: one after another, several copies of each, as in a hybrid model.

An operator timed in a loop of its own finds its weights in the cache, which in a model it does not; at batch 1 that
flatters it several times over. So all operators of a width take turns in one mix of about a model's depth, each copy
with weights and states of its own, and the clock is read between them: reading it takes 0.1 µs, so no launch is charged
to any. Taking turns also spreads the noise of a shared machine evenly. A sample is the mean over the copies and a few
passes: a model adds up many calls and so meets their mean, outliers included, which a median of calls would leave out.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

import torch
from torch import Tensor

from latency.copies import TORCH_DTYPES, OperatorCopy, prefill_of, step_of
from latency.cpu_clock import Call, TimedPass, take_turns
from latency.fixed import FixedCalls, FixedParts, Part
from latency.plan import MeasurementRequest
from latency.rows import OVERHEAD, RowKey, operator_key
from latency.samples import Samples, describe_failure
from latency.workload import Phase

TYPICAL_DEPTH = 12
"""Operators in a mix unless told otherwise; at least two of each."""

MOST_SPECS = 16
"""Distinct operators in one mix."""

STEPS_PER_SAMPLE = 16
WARMUP_STEPS = 8
"""A step right after other work is up to twice as slow as those that follow it; a generation is made of the latter."""

OVERHEAD_SHARE = 0.25
"""The overhead is small, so it may be known less well."""

PIECES = "pieces"
"""Part name of what is timed beside a whole step only to be taken off it."""


def mixes(requests: Iterable[MeasurementRequest]) -> list[list[MeasurementRequest]]:
    """Divide requests into those timed in one mix: of one width, batch and dtype, and a bounded number of operators."""
    models: dict[tuple[int, int, str], dict[str, list[MeasurementRequest]]] = defaultdict(lambda: defaultdict(list))
    for request in requests:
        name = "" if request.spec is None else operator_key(request.spec)
        models[(request.hidden_size, request.batch_size, request.dtype)][name].append(request)
    result = []
    for by_operator in models.values():
        fixed = by_operator.pop("", [])
        alike = list(by_operator.values())
        starts = range(0, max(1, len(alike)), MOST_SPECS)
        chunks = [list(chain.from_iterable(alike[start : start + MOST_SPECS])) for start in starts]
        result += [chunks[0] + fixed, *chunks[1:]]
    return result


def measure_mix(
    requests: Sequence[MeasurementRequest], *, seconds_per_set: float, typical_depth: int = TYPICAL_DEPTH
) -> Iterator[Samples]:
    """Yield samples for every request, or why there are none; the requests must be of one mix.

    Args:
        requests: what to time.
        typical_depth: operators in the models that will be priced; whether their weights stay in the cache depends on
            it.
        seconds_per_set: time to spend on each set of rows that is timed in one pass.
    """
    mix = _Mix(requests, typical_depth=typical_depth)
    samples_us, failures = take_turns(mix.passes, seconds=seconds_per_set)
    failures = {**failures, **mix.failures}
    for request in requests:
        key = request.key
        times_us = samples_us.get(key, ())
        if key.part == OVERHEAD:
            pieces_us = samples_us.get(replace(key, part=PIECES), ())
            times_us = [max(0.0, whole - pieces) for whole, pieces in zip(times_us, pieces_us, strict=True)]
        yield Samples(
            key=key,
            microseconds=tuple(times_us),
            backend=mix.backends.get(key, ""),
            failure="" if times_us else failures[key],
        )


class _Mix:
    """Modules of one width, batch and dtype, and the passes that time them."""

    def __init__(self, requests: Sequence[MeasurementRequest], *, typical_depth: int) -> None:
        self._requests = requests
        self.failures: dict[RowKey, str] = {}
        """Why a row cannot be timed, where its operator could not be built or run."""
        self.backends: dict[RowKey, str] = {}
        operators: dict[str, list[MeasurementRequest]] = defaultdict(list)
        vocabularies: dict[int, list[MeasurementRequest]] = defaultdict(list)
        for request in requests:
            if request.spec is None:
                vocabularies[request.vocab_size].append(request)
            else:
                operators[operator_key(request.spec)].append(request)
        num_copies = max(2, round(typical_depth / max(1, len(operators))))
        copies = [(alike, self._copies(alike, num_copies=num_copies)) for alike in operators.values()]
        self._operators = [(alike, built) for alike, built in copies if built]
        fixed = [(alike, self._fixed_parts(alike)) for alike in vocabularies.values()]
        self._fixed = [(alike, built) for alike, built in fixed if built is not None]
        self.passes = self._decode_passes() + self._prefill_passes()

    def _copies(self, alike: Sequence[MeasurementRequest], *, num_copies: int) -> list[OperatorCopy]:
        """Return copies of one operator that have run all that is asked of it; none if it cannot be built or run."""
        first = alike[0]
        assert first.spec is not None
        copies = []
        try:
            for _ in range(num_copies):
                copy = OperatorCopy(
                    first.spec,
                    hidden_size=first.hidden_size,
                    batch_size=first.batch_size,
                    dtype=first.dtype,
                    device="cpu",
                )
                for request in alike:
                    if request.phase == "decode":
                        copy.prepare_step(request.context_tokens, num_meta_tokens=request.num_meta_tokens)
                        step_of(copy, request)(self._stream())
                    else:
                        copy.prepare_prefill(request.context_tokens, num_meta_tokens=request.num_meta_tokens)
                        prefill_of(copy, request)(self._stream(request.context_tokens))
                copies.append(copy)
        except Exception as error:
            self.failures.update(dict.fromkeys((request.key for request in alike), describe_failure(error)))
            return []
        self.backends.update((request.key, copies[0].backend(request.phase)) for request in alike)
        return copies

    def _fixed_parts(self, alike: Sequence[MeasurementRequest]) -> FixedParts | None:
        first = alike[0]
        try:
            parts = FixedParts(
                hidden_size=first.hidden_size,
                vocab_size=first.vocab_size,
                batch_size=first.batch_size,
                dtype=first.dtype,
                device="cpu",
            )
        except Exception as error:
            self.failures.update(dict.fromkeys((request.key for request in alike), describe_failure(error)))
            return None
        self.backends.update((request.key, parts.backend(request.part, phase=request.phase)) for request in alike)
        return parts

    def _stream(self, *tokens: int) -> Tensor:
        first = self._requests[0]
        return torch.randn(first.batch_size, *tokens, first.hidden_size, dtype=TORCH_DTYPES[first.dtype])

    def _decode_passes(self) -> list[TimedPass]:
        """Return one pass a context: operators with fewer contexts than others take theirs in turn."""
        operators = [([r for r in alike if r.phase == "decode"], copies) for alike, copies in self._operators]
        operators = [(alike, copies) for alike, copies in operators if alike]
        fixed = [
            (keys, parts.step())
            for alike, parts in self._fixed
            if (keys := _keys_by_part(alike, phase="decode", tokens=0))
        ]
        num_contexts = max((len(alike) for alike, _ in operators), default=1 if fixed else 0)
        passes = []
        for turn in range(num_contexts):
            stepped = [(alike[turn % len(alike)], copy) for alike, copy in _interleaved(operators)]
            calls: list[Call] = [(request.key, step_of(copy, request)) for request, copy in stepped]
            rewinds = [
                partial(copy.rewind, request.context_tokens, num_meta_tokens=request.num_meta_tokens)
                for request, copy in stepped
            ]
            passes.append(
                TimedPass(
                    calls=_around(calls, fixed),
                    start=self._stream(),
                    repeats=STEPS_PER_SAMPLE,
                    warmups=WARMUP_STEPS,
                    prepare=rewinds,
                )
            )
        return passes + self._overhead_passes(fixed)

    def _prefill_passes(self) -> list[TimedPass]:
        """Return one pass a prompt length."""
        lengths = {request.context_tokens for request in self._requests if request.phase == "prefill"}
        passes = []
        for tokens in sorted(lengths):
            operators = [
                ([r for r in alike if r.phase == "prefill" and r.context_tokens == tokens], copies)
                for alike, copies in self._operators
            ]
            read = [(request, copy) for alike, copy in _interleaved(operators) for request in alike]
            fixed = [
                (keys, parts.prefill(tokens))
                for alike, parts in self._fixed
                if (keys := _keys_by_part(alike, phase="prefill", tokens=tokens))
            ]
            calls: list[Call] = [(request.key, prefill_of(copy, request)) for request, copy in read]
            passes.append(
                TimedPass(
                    calls=_around(calls, fixed),
                    start=self._stream(tokens),
                    repeats=1,
                    warmups=0,
                    prepare=[
                        partial(copy.reset_prefill, tokens, num_meta_tokens=request.num_meta_tokens)
                        for request, copy in read
                    ],
                )
            )
            passes += self._overhead_passes(fixed)
        return passes

    def _overhead_passes(self, fixed: Sequence[tuple[Mapping[str, RowKey], FixedCalls]]) -> list[TimedPass]:
        """Return passes that time whole steps beside their pieces."""
        return [
            TimedPass(
                calls=[
                    (keys[OVERHEAD], _keeping(calls.whole)),
                    (replace(keys[OVERHEAD], part=PIECES), _keeping(calls.pieces)),
                ],
                start=self._stream(),
                repeats=STEPS_PER_SAMPLE,
                warmups=WARMUP_STEPS,
                prepare=[calls.rewind],
                share=OVERHEAD_SHARE,
            )
            for keys, calls in fixed
            if OVERHEAD in keys
        ]


def _keys_by_part(alike: Iterable[MeasurementRequest], *, phase: Phase, tokens: int) -> dict[str, RowKey]:
    return {r.part: r.key for r in alike if r.phase == phase and r.context_tokens == tokens}


def _interleaved(
    operators: Sequence[tuple[list[MeasurementRequest], list[OperatorCopy]]],
) -> Iterator[tuple[list[MeasurementRequest], OperatorCopy]]:
    """Yield one copy of each operator, then the next copy of each."""
    for index in range(max((len(copies) for _, copies in operators), default=0)):
        for alike, copies in operators:
            yield alike, copies[index]


def _around(calls: Sequence[Call], fixed: Sequence[tuple[Mapping[str, RowKey], FixedCalls]]) -> list[Call]:
    """Put the fixed parts where a model has them: the embedding first, the others last."""
    parts = [(name, keys[name], part) for keys, all_ in fixed for name, part in all_.parts.items() if name in keys]
    before: list[Call] = [(key, _keeping(part)) for name, key, part in parts if name == "embedding"]
    after: list[Call] = [(key, _keeping(part)) for name, key, part in parts if name != "embedding"]
    return [*before, *calls, *after]


def _keeping(part: Part) -> Callable[[Tensor], Tensor]:
    def call(stream: Tensor) -> Tensor:
        part()
        return stream

    return call
