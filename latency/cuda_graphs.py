"""Time operators on a GPU as the decoder runs them: the slope between k and 2k copies that run on each other's output.

Steps run inside CUDA graphs and prompts do not, since the decoder does so. Every repetition finds the states as they
were: they are rewound between them, off the clock.

The slope leaves out the launch of the graph, which a model pays once a step and not once an operator. Every copy has
weights and states of its own, enough of them to exceed the L2 cache several times; a single operator in a loop would
be read from it, which flatters decoding by more than half. What cannot be captured is timed without a graph, and says
so in its row. This is not how a CPU is timed: see `cpu_mix.py`.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from latency.copies import TORCH_DTYPES, OperatorCopy, prefill_of, step_of
from latency.fixed import MOST_STEPS, FixedCalls, FixedParts
from latency.plan import MeasurementRequest
from latency.rows import OVERHEAD, operator_key
from latency.samples import Samples, describe_failure

CACHE_MULTIPLE = 4
"""The weights of k copies exceed the L2 cache this many times."""

MOST_COPIES = 64
MEMORY_SHARE = 0.5
"""Share of the free memory that copies may take."""

LEAST_SAMPLES = 20
WARMUP_RUNS = 3
NO_GRAPH = " without graph"
"""Added to the backend of a row that could not be captured."""

Run = Callable[[], object]


def measure_in_graphs(
    requests: Iterable[MeasurementRequest], *, device: str, seconds_per_row: float
) -> Iterator[Samples]:
    """Yield samples for every request, or why there are none."""
    alike: dict[tuple[object, ...], list[MeasurementRequest]] = defaultdict(list)
    for request in requests:
        subject = request.vocab_size if request.spec is None else operator_key(request.spec)
        alike[(request.hidden_size, request.batch_size, request.dtype, subject)].append(request)
    with torch.cuda.device(device):
        for group in alike.values():
            measure = _operator_rows if group[0].spec is not None else _fixed_rows
            yield from measure(group, device=device, seconds_per_row=seconds_per_row)
            torch.cuda.empty_cache()


def _operator_rows(requests: Sequence[MeasurementRequest], *, device: str, seconds_per_row: float) -> Iterator[Samples]:
    try:
        copies = _enough_copies(requests, device=device)
    except Exception as error:
        failure = describe_failure(error)
    else:
        failure = ""
        for request in requests:
            yield _operator_row(request, copies, device=device, seconds=seconds_per_row)
    if failure and len(requests) == 1:
        yield Samples(key=requests[0].key, failure=failure)
    elif failure:
        # What is too large for all contexts at once may fit one by one.
        for request in requests:
            torch.cuda.empty_cache()
            yield from _operator_rows([request], device=device, seconds_per_row=seconds_per_row)


def _operator_row(
    request: MeasurementRequest, copies: Sequence[OperatorCopy], *, device: str, seconds: float
) -> Samples:
    try:
        samples_us, suffix = _slope_us(_chain(request, copies, device=device), seconds=seconds)
    except Exception as error:
        return Samples(key=request.key, failure=describe_failure(error))
    return Samples(key=request.key, microseconds=tuple(samples_us), backend=copies[0].backend(request.phase) + suffix)


def _enough_copies(requests: Sequence[MeasurementRequest], *, device: str) -> list[OperatorCopy]:
    """Return 2k prepared copies."""
    copies = [_prepared_copy(requests, device=device)]
    free_bytes, _ = torch.cuda.mem_get_info()
    used_bytes = max(1, torch.cuda.memory_allocated())
    cache_bytes = torch.cuda.get_device_properties(device).L2_cache_size
    wanted = 2 * max(2, -(-CACHE_MULTIPLE * cache_bytes // copies[0].weight_bytes))
    affordable = max(2, int(MEMORY_SHARE * free_bytes / used_bytes))
    count = min(wanted, affordable, MOST_COPIES)
    copies += [_prepared_copy(requests, device=device) for _ in range(count - count % 2 - 1)]
    return copies


def _prepared_copy(requests: Sequence[MeasurementRequest], *, device: str) -> OperatorCopy:
    first = requests[0]
    assert first.spec is not None
    copy = OperatorCopy(
        first.spec, hidden_size=first.hidden_size, batch_size=first.batch_size, dtype=first.dtype, device=device
    )
    # The decoder's caches have room for the longest context from the first step on.
    room = 1 + max((request.context_tokens for request in requests if request.phase == "decode"), default=0)
    for request in requests:
        if request.phase == "decode":
            copy.prepare_step(request.context_tokens, num_meta_tokens=request.num_meta_tokens, room=room)
        else:
            copy.prepare_prefill(request.context_tokens, num_meta_tokens=request.num_meta_tokens)
    return copy


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chain:
    """Calls that run one after another, and how they run in a model."""

    calls: Sequence[Run]

    begin: Run
    """Gives the first call its input, which lives as long as the chain: a captured graph reads it at every replay."""

    rewind: Run
    """Undoes what the calls did to states, off the clock, before they run again."""

    is_captured: bool
    """Whether the decoder runs them in a CUDA graph: its steps, but not its reading of a prompt."""


def _chain(request: MeasurementRequest, copies: Sequence[OperatorCopy], *, device: str) -> _Chain:
    """Return one call a copy; each takes what the one before it left in a buffer that all share."""
    is_step = request.phase == "decode"
    tokens = () if is_step else (request.context_tokens,)
    shape = (request.batch_size, *tokens, request.hidden_size)
    start = torch.randn(shape, device=device, dtype=TORCH_DTYPES[request.dtype])
    stream = [start]

    def begin() -> None:
        stream[0] = start

    def advance(call: Callable[[Tensor], Tensor]) -> None:
        stream[0] = call(stream[0])

    def rewind() -> None:
        for copy in copies:
            (copy.rewind if is_step else copy.rewind_prefill)(
                request.context_tokens, num_meta_tokens=request.num_meta_tokens
            )

    call_of = step_of if is_step else prefill_of
    calls = [partial(advance, call_of(copy, request)) for copy in copies]
    return _Chain(calls=calls, begin=begin, rewind=rewind, is_captured=is_step)


def _fixed_rows(requests: Sequence[MeasurementRequest], *, device: str, seconds_per_row: float) -> Iterator[Samples]:
    first = requests[0]
    try:
        fixed = FixedParts(
            hidden_size=first.hidden_size,
            vocab_size=first.vocab_size,
            batch_size=first.batch_size,
            dtype=first.dtype,
            device=device,
        )
    except Exception as error:
        for request in requests:
            yield Samples(key=request.key, failure=describe_failure(error))
        return
    for request in requests:
        is_step = request.phase == "decode"
        try:
            calls = fixed.step() if is_step else fixed.prefill(request.context_tokens)
            samples_us, suffix = _fixed_us(request.part, calls, is_step=is_step, seconds=seconds_per_row)
        except Exception as error:
            yield Samples(key=request.key, failure=describe_failure(error))
        else:
            yield Samples(
                key=request.key,
                microseconds=tuple(samples_us),
                backend=fixed.backend(request.part, phase=request.phase) + suffix,
            )


def _fixed_us(part: str, calls: FixedCalls, *, is_step: bool, seconds: float) -> tuple[list[float], str]:
    """Return samples of a fixed part; overhead is what a step of the decoder takes beyond its pieces."""
    subject = calls.pieces if part == OVERHEAD else calls.parts[part]
    chain = _Chain(calls=[subject] * 4, begin=_nothing, rewind=calls.rewind, is_captured=is_step)
    pieces_us, suffix = _slope_us(chain, seconds=seconds)
    if part != OVERHEAD:
        return pieces_us, suffix
    wholes_us = []
    for _ in pieces_us:
        calls.rewind()
        wholes_us.append(_elapsed_us(partial(_repeat, calls.whole, MOST_STEPS)) / MOST_STEPS)
    return [max(0.0, whole - pieces) for whole, pieces in zip(wholes_us, pieces_us, strict=True)], suffix


def _slope_us(chain: _Chain, *, seconds: float) -> tuple[list[float], str]:
    """Return samples of one call's time, from half of the calls and all of them in turn, and a backend's suffix."""
    half = len(chain.calls) // 2
    replays, suffix = _replays(chain, counts=(half, len(chain.calls)))
    samples_us: list[float] = []
    deadline = time.perf_counter() + seconds
    while len(samples_us) <= LEAST_SAMPLES or time.perf_counter() < deadline:
        times_us = []
        for replay in replays:
            chain.rewind()
            times_us.append(_elapsed_us(replay))
        short_us, long_us = times_us
        samples_us.append((long_us - short_us) / (len(chain.calls) - half))
    # The first is not kept: it loads the graph.
    return samples_us[1:], suffix


def _replays(chain: _Chain, *, counts: tuple[int, int]) -> tuple[list[Run], str]:
    """Return runs of so many calls, captured where the decoder does so and it can be done."""
    runs = [partial(_run, chain, count) for count in counts]
    # Capture wants a side stream that has run everything once.
    side: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARMUP_RUNS):
            chain.rewind()
            runs[-1]()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    if not chain.is_captured:
        return list(runs), ""
    try:
        return [_captured(run) for run in runs], ""
    except torch.OutOfMemoryError:
        raise  # the decoder could not capture it either
    except RuntimeError:
        torch.cuda.synchronize()
        return list(runs), NO_GRAPH


def _run(chain: _Chain, count: int) -> None:
    chain.begin()
    for call in chain.calls[:count]:
        call()


def _nothing() -> None:
    """Begin calls that take no input from one another."""


def _repeat(call: Run, times: int) -> None:
    for _ in range(times):
        call()


def _captured(run: Run) -> Run:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def _elapsed_us(run: Run) -> float:
    # torch leaves the constructor unannotated.
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    run()
    end.record()
    end.synchronize()
    return 1000 * float(start.elapsed_time(end))
