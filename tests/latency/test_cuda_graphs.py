import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from latency import cuda_graphs
from latency.copies import OperatorCopy
from latency.cuda_graphs import NO_GRAPH, measure_in_graphs
from latency.measure import profile
from latency.plan import MeasurementRequest, requests_for_architecture
from latency.predict import predict
from latency.workload import Workload
from search_spaces import architecture_from_pattern


@pytest.fixture
def cpu_as_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the code for a GPU run on the CPU: nothing is captured, and the clock is the wall's."""

    class Stream:
        def wait_stream(self, other: object) -> None:
            assert isinstance(other, Stream)

    def elapsed_us(run: Callable[[], object]) -> float:
        started = time.perf_counter()
        run()
        return 1e6 * (time.perf_counter() - started)

    for name, value in {
        "Stream": Stream,
        "current_stream": Stream,
        "stream": lambda _: nullcontext(),
        "device": lambda _: nullcontext(),
        "synchronize": lambda: None,
        "empty_cache": lambda: None,
        "mem_get_info": lambda: (2**30, 2**30),
        "memory_allocated": lambda: 2**20,
        "get_device_properties": lambda _: SimpleNamespace(L2_cache_size=2**18),
    }.items():
        monkeypatch.setattr(f"torch.cuda.{name}", value)
    monkeypatch.setattr(cuda_graphs, "_captured", lambda run: run)
    monkeypatch.setattr(cuda_graphs, "_elapsed_us", elapsed_us)
    monkeypatch.setattr(cuda_graphs, "LEAST_SAMPLES", 3)


def requests(pattern: str = "a f d w f m2 hh") -> list[MeasurementRequest]:
    architecture = architecture_from_pattern(pattern, hidden_size=64, vocab_size=50, num_meta_tokens=2)
    workload = Workload(phase="both", prompt_tokens=8, generated_tokens=6)
    return requests_for_architecture(architecture, workload=workload)


@pytest.mark.usefixtures("cpu_as_gpu")
def test_every_row_is_timed_again_and_again_without_its_states_running_over() -> None:
    asked = requests()
    found = list(measure_in_graphs(asked, device="cpu", seconds_per_row=0.0))
    assert {samples.key for samples in found} == {request.key for request in asked}
    assert [samples.failure for samples in found if samples.failure] == []
    assert {len(samples.microseconds) for samples in found} == {3}


@pytest.mark.usefixtures("cpu_as_gpu")
def test_a_graph_reads_an_input_that_lives_as_long_as_its_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs: list[weakref.ref[torch.Tensor]] = []
    step = OperatorCopy.step

    def noted(copy: OperatorCopy, x_BD: torch.Tensor, **where: int) -> torch.Tensor:
        inputs.append(weakref.ref(x_BD))
        return step(copy, x_BD, **where)

    def captured(run: Callable[[], object]) -> Callable[[], object]:
        inputs.clear()
        run()
        first = inputs[0]
        # Another capture, and whatever else is freed, lies between a capture and its replay.
        return lambda: first() is not None or pytest.fail("the graph's input was freed")

    monkeypatch.setattr(OperatorCopy, "step", noted)
    monkeypatch.setattr(cuda_graphs, "_captured", captured)
    asked = [request for request in requests("f") if request.spec is not None and request.phase == "decode"]
    assert [samples.failure for samples in measure_in_graphs(asked, device="cpu", seconds_per_row=0.0)] == [""]


@pytest.mark.usefixtures("cpu_as_gpu")
def test_what_does_not_fit_for_all_contexts_is_measured_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def enough_copies(asked: Sequence[MeasurementRequest], *, device: str) -> list[OperatorCopy]:
        if sum(request.context_tokens for request in asked) > 12:
            raise torch.OutOfMemoryError("out of memory")
        return original(asked, device=device)

    original = cuda_graphs._enough_copies
    monkeypatch.setattr(cuda_graphs, "_enough_copies", enough_copies)
    asked = [request for request in requests("a") if request.spec is not None]
    found = {samples.key: samples for samples in measure_in_graphs(asked, device="cpu", seconds_per_row=0.0)}
    assert sum(key.context_tokens for key in found) > 12
    for key, samples in found.items():
        assert ("OutOfMemoryError" in samples.failure) == (key.context_tokens > 12)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="measures on a CUDA device")
def test_a_table_can_be_measured_on_a_gpu() -> None:
    architecture = architecture_from_pattern("a f d f w f m2 f", hidden_size=256, vocab_size=1000)
    workload = Workload(phase="both", prompt_tokens=64, generated_tokens=16, dtype="bfloat16")
    asked = requests_for_architecture(architecture, workload=workload)
    table = profile(asked, device="cuda", num_threads=1, seconds_per_set=0.05, num_sweeps=1)
    assert table.failed == []
    assert table.fingerprint.kind == "cuda"
    assert table.fingerprint.driver
    for row in table:
        assert row.p20_us <= row.median_us <= row.p80_us
    steps = [row for row in table if row.key.phase == "decode"]
    assert not [row for row in steps if row.backend.endswith(NO_GRAPH)]
    assert predict(architecture, workload, table).milliseconds > 0
