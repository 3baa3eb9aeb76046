from dataclasses import replace

import pytest

from latency.device import DeviceFingerprint, DeviceMismatchError
from latency.plan import MeasurementRequest
from latency.rows import LatencyRow
from latency.table import LatencyTable
from latency.workload import Workload
from nas.asked_device import check_table_is_asked_for, is_accelerator, local_obstacle
from nas.config import LatencyConfig, load_config
from nas.errors import ConfigError

H100 = DeviceFingerprint(
    device_name="NVIDIA H100 80GB HBM3",
    kind="cuda",
    memory_bytes=80 * 2**30,
    num_threads=1,
    driver="570.1",
    torch="2.13.0",
    triton="3.9.0",
    backends={"flash-linear-attention": "0.6.0"},
)
ROW = MeasurementRequest(
    part="head", hidden_size=8, vocab_size=64, phase="decode", batch_size=1, context_tokens=0, dtype="bfloat16"
)


def asked(**changes):
    workload = Workload(phase="decode", generated_tokens=8)
    return LatencyConfig(workload=workload, device="cuda", table="given.parquet", **changes)


def table(**changes):
    row = LatencyRow(key=ROW.key, median_us=1.0, p20_us=1.0, p80_us=1.0, samples=3, backend="triton", **changes)
    return LatencyTable(fingerprint=H100, rows=[row])


@pytest.fixture
def current():
    from operators.kernel_revision import KERNEL_REVISION

    return table(kernel_revision=KERNEL_REVISION)


def check(given, latency, at_hand):
    check_table_is_asked_for(given, latency, rows=[ROW], at_hand=at_hand)


@pytest.mark.parametrize(
    ("device_name", "accelerator", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", "H100", True),
        ("NVIDIA H100 80GB HBM3", "h100", True),
        ("NVIDIA A100-SXM4-40GB", "A100-40G", True),
        ("NVIDIA A100-SXM4-80GB", "A100-40G", False),
        ("NVIDIA L40S", "L4", False),
        ("Tesla V100-SXM2-16GB", "V100", True),
    ],
)
def test_a_device_is_recognised_by_the_clusters_name_of_it(device_name, accelerator, expected):
    assert is_accelerator(device_name, accelerator) is expected


def test_a_table_of_the_device_at_hand_is_used(current):
    check(current, asked(), H100)


@pytest.mark.parametrize(
    ("at_hand", "words"),
    [
        (replace(H100, torch="2.14.0"), r"torch \(table 2.13.0, here 2.14.0\)"),
        (replace(H100, backends={}), r"flash-linear-attention \(table 0.6.0, here none\)"),
        (replace(H100, device_name="NVIDIA A100"), r"device_name \(table NVIDIA H100 80GB HBM3, here NVIDIA A100\)"),
        (None, "there is no cuda device at hand to compare it with"),
    ],
)
def test_another_device_or_version_is_refused_with_the_way_to_insist(current, at_hand, words):
    with pytest.raises(DeviceMismatchError, match=words) as caught:
        check(current, asked(), at_hand)
    assert "latency.accept_other_device: true" in str(caught.value)
    check(current, asked(accept_other_device=True), at_hand)


def test_a_table_of_another_kind_than_asked_for_is_refused(current):
    cpu = LatencyConfig(workload=Workload(phase="decode", generated_tokens=8), table="given.parquet")
    with pytest.raises(DeviceMismatchError, match=r"the device asked for, cpu; given.parquet was measured on cuda"):
        check(current, cpu, None)


def test_a_table_of_another_accelerator_than_named_is_refused(current):
    with pytest.raises(DeviceMismatchError, match=r"asked for, cuda \(B200\); .* cuda \(NVIDIA H100"):
        check(current, asked(accelerator="B200"), None)


def test_a_device_asked_for_by_name_need_not_be_at_hand(current):
    check(current, asked(accelerator="H100"), None)
    check(current, asked(accelerator="H100"), replace(H100, device_name="NVIDIA A100", torch="2.8.0"))


def test_rows_of_another_kernel_revision_are_refused_with_the_way_to_insist():
    older = table(kernel_revision="0")
    with pytest.raises(DeviceMismatchError, match=r"1 of the 1 rows needed from given.parquet have another kernel rev"):
        check(older, asked(), H100)
    check(older, asked(accept_other_device=True), H100)


def test_an_accelerator_is_a_gpu():
    changes = ["latency.accelerator=H100"]
    with pytest.raises(ConfigError, match=r"got 'H100' with device 'cpu'\. Set latency.device: cuda"):
        load_config("quick-cpu", overrides=changes)
    assert load_config("quick-cpu", overrides=[*changes, "latency.device=cuda"]).latency.accelerator == "H100"


def test_a_machine_without_the_device_says_so(monkeypatch):
    cpu = LatencyConfig(workload=Workload(phase="decode", generated_tokens=8))
    assert local_obstacle(cpu) is None
    monkeypatch.setattr("latency.device_probe.current_fingerprint", lambda *_, **__: H100)
    assert local_obstacle(asked(accelerator="H100")) is None
    assert "asks for B200; this machine has NVIDIA H100" in local_obstacle(asked(accelerator="B200"))
