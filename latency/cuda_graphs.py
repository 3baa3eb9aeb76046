"""Time operators on a GPU inside CUDA graphs: the slope between k and 2k copies that run on each other's output.

The slope leaves out the launch of the graph, which a model pays once a step and not once an operator. Every copy has
weights and states of its own, enough of them to exceed the L2 cache several times; a single operator in a loop would
be read from it, which flatters decoding by more than half. What cannot be captured is timed without a graph, and says
so in its row. This is not how a CPU is timed: see `cpu_mix.py`.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from latency.copies import TORCH_DTYPES, OperatorCopy, prefill_of, step_of
from latency.fixed import FixedCalls, FixedParts
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
        for request in requests:
            yield Samples(key=request.key, failure=describe_failure(error))
        return
    for request in requests:
        try:
            calls = _chain(request, copies, device=device)
            samples_us, suffix = _slope_us(calls, seconds=seconds_per_row)
        except Exception as error:
            yield Samples(key=request.key, failure=describe_failure(error))
        else:
            yield Samples(
                key=request.key, microseconds=tuple(samples_us), backend=copies[0].backend(request.phase) + suffix
            )


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
    for request in requests:
        if request.phase == "decode":
            copy.prepare_step(request.context_tokens, num_meta_tokens=request.num_meta_tokens)
        else:
            copy.prepare_prefill(request.context_tokens, num_meta_tokens=request.num_meta_tokens)
    return copy


def _chain(request: MeasurementRequest, copies: Sequence[OperatorCopy], *, device: str) -> list[Run]:
    """Return one call a copy; each takes what the one before it left in a buffer that all share."""
    tokens = () if request.phase == "decode" else (request.context_tokens,)
    shape = (request.batch_size, *tokens, request.hidden_size)
    stream = [torch.randn(shape, device=device, dtype=TORCH_DTYPES[request.dtype])]

    def advance(call: Callable[[Tensor], Tensor]) -> None:
        stream[0] = call(stream[0])

    call_of = step_of if request.phase == "decode" else prefill_of
    return [partial(advance, call_of(copy, request)) for copy in copies]


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
        calls = fixed.step() if request.phase == "decode" else fixed.prefill(request.context_tokens)
        try:
            samples_us, suffix = _fixed_us(request.part, calls, seconds=seconds_per_row)
        except Exception as error:
            yield Samples(key=request.key, failure=describe_failure(error))
        else:
            yield Samples(key=request.key, microseconds=tuple(samples_us), backend=fixed.backend + suffix)


def _fixed_us(part: str, calls: FixedCalls, *, seconds: float) -> tuple[list[float], str]:
    """Return samples of a fixed part; overhead is what launching a step takes beyond what runs in it."""
    if part != OVERHEAD:
        return _slope_us([calls.parts[part]] * 4, seconds=seconds)
    (one, two), suffix = _paired_us([calls.pieces] * 2, seconds=seconds)
    return [max(0.0, 2 * short - long) for short, long in zip(one, two, strict=True)], suffix


def _slope_us(calls: Sequence[Run], *, seconds: float) -> tuple[list[float], str]:
    (short, long), suffix = _paired_us(calls, seconds=seconds)
    half = len(calls) // 2
    return [(all_us - half_us) / half for half_us, all_us in zip(short, long, strict=True)], suffix


def _paired_us(calls: Sequence[Run], *, seconds: float) -> tuple[tuple[list[float], list[float]], str]:
    """Return times of the first half of the calls and of all of them, taken in turn, and what to add to the backend."""

    def run(count: int) -> None:
        for call in calls[:count]:
            call()

    counts = (len(calls) // 2, len(calls))
    # Capture wants a side stream that has run everything once.
    side: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARMUP_RUNS):
            run(len(calls))
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    suffix = ""
    replays: list[Run]
    try:
        replays = [_captured(partial(run, count)) for count in counts]
    except RuntimeError:
        torch.cuda.synchronize()
        replays, suffix = [partial(run, count) for count in counts], NO_GRAPH
    for replay in replays:
        _elapsed_us(replay)
    times: tuple[list[float], list[float]] = ([], [])
    deadline = time.perf_counter() + seconds
    while len(times[0]) < LEAST_SAMPLES or time.perf_counter() < deadline:
        for replay, found in zip(replays, times, strict=True):
            found.append(_elapsed_us(replay))
    return times, suffix


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
