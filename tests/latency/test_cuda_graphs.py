import pytest
import torch

from latency.cuda_graphs import NO_GRAPH
from latency.measure import profile
from latency.plan import requests_for_architecture
from latency.predict import predict
from latency.workload import Workload
from search_spaces import architecture_from_pattern

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="measures on a CUDA device"),
]


def test_a_table_can_be_measured_on_a_gpu() -> None:
    architecture = architecture_from_pattern("a f d f w f m2 f", hidden_size=256, vocab_size=1000)
    workload = Workload(phase="both", prompt_tokens=64, generated_tokens=16, dtype="bfloat16")
    requests = requests_for_architecture(architecture, workload=workload)
    table = profile(requests, device="cuda", num_threads=1, seconds_per_set=0.05, num_sweeps=1)
    assert table.failed == []
    assert table.fingerprint.kind == "cuda"
    assert table.fingerprint.driver
    for row in table:
        assert row.p20_us <= row.median_us <= row.p80_us
    steps = [row for row in table if row.key.phase == "decode"]
    assert not [row for row in steps if row.backend.endswith(NO_GRAPH)]
    assert predict(architecture, workload, table).milliseconds > 0
