"""Hand-made devices, tables and architectures for the latency tests."""

from collections.abc import Callable

import pytest

from latency.device import DeviceFingerprint
from latency.plan import MeasurementRequest, requests_for_architecture
from latency.rows import LatencyRow
from latency.table import LatencyTable
from latency.workload import Workload
from search_spaces import Architecture, architecture_from_pattern


@pytest.fixture
def fingerprint() -> DeviceFingerprint:
    return DeviceFingerprint(
        device_name="Model 9000",
        kind="cpu",
        memory_bytes=2**34,
        num_threads=2,
        torch="2.13.0",
        backends={"mamba-ssm": "2.3.2"},
        clocks={"cpu": "2600 MHz"},
        date="2026-11-01T12:00:00+00:00",
    )


@pytest.fixture
def hybrid() -> Architecture:
    return architecture_from_pattern("a f d f w f m2 f", hidden_size=128, vocab_size=256)


@pytest.fixture
def workload() -> Workload:
    return Workload(phase="both", batch_size=1, prompt_tokens=32, generated_tokens=16)


@pytest.fixture
def make_table(fingerprint: DeviceFingerprint) -> Callable[..., LatencyTable]:
    """Return a function that fills a table for one architecture from a function of the request."""

    def make(
        architecture: Architecture, workload: Workload, median_us: Callable[[MeasurementRequest], float]
    ) -> LatencyTable:
        table = LatencyTable(fingerprint=fingerprint)
        for request in requests_for_architecture(architecture, workload=workload):
            time_us = median_us(request)
            table.add(
                LatencyRow(
                    key=request.key,
                    median_us=time_us,
                    p20_us=0.9 * time_us,
                    p80_us=1.2 * time_us,
                    samples=30,
                    backend="torch",
                )
            )
        return table

    return make
