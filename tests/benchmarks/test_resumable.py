import json
from pathlib import Path

import pytest

import latency.measure
from benchmarks.resumable import MORE_TO_DO, Deadline, MoreToDoError, measure_rows, time_models, to_measure
from latency.plan import requests_for_architecture
from latency.samples import Samples
from latency.table import LatencyTable
from latency.validate import NamedArchitecture
from latency.workload import Workload
from search_spaces import architecture_from_pattern

WORKLOAD = Workload(phase="decode", generated_tokens=8)
MODELS = [
    NamedArchitecture(name=pattern, architecture=architecture_from_pattern(pattern, hidden_size=64, vocab_size=64))
    for pattern in ("f", "d f")
]
REQUESTS = requests_for_architecture(MODELS[1].architecture, workload=WORKLOAD)


def measured(path: Path, *, minutes: float | None = None) -> LatencyTable:
    return measure_rows(
        REQUESTS,
        path=path,
        device="cpu",
        num_threads=1,
        deadline=Deadline.after(minutes),
        seconds_per_set=0.0,
    )


def timed(path: Path, *, rounds: int = 1, minutes: float | None = None) -> list[float]:
    times = time_models(
        MODELS,
        workload=WORKLOAD,
        path=path,
        device="cpu",
        num_threads=1,
        rounds=rounds,
        deadline=Deadline.after(minutes),
    )
    return [time.milliseconds for time in times]


def test_no_time_asks_for_another_run(tmp_path: Path) -> None:
    with pytest.raises(MoreToDoError, match=f"{len(REQUESTS)} rows to go.*run again") as caught:
        measured(tmp_path / "table.parquet", minutes=0)
    assert caught.value.exit_code == MORE_TO_DO == 75


def test_rows_measured_before_time_ran_out_are_kept_and_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.parquet"
    over = iter([False, True])
    measure = latency.measure._measure
    # Row by row, as on a GPU.
    monkeypatch.setattr(
        "latency.measure._measure", lambda *a, **k: ([row] for together in measure(*a, **k) for row in together)
    )
    monkeypatch.setattr(Deadline, "is_over", property(lambda self: next(over)))
    with pytest.raises(MoreToDoError, match=f"{len(REQUESTS) - 1} rows to go"):
        measured(path)
    monkeypatch.undo()
    [first] = LatencyTable.load(path).measured
    table = measured(path)
    assert len(table.measured) == len(REQUESTS)
    assert table.get(first.key) == first


def test_a_row_that_failed_is_not_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    table = measured(path)
    table.add(Samples(key=REQUESTS[0].key, failure="OutOfMemoryError").row())
    assert to_measure(REQUESTS, table) == []
    assert to_measure(REQUESTS, None) == REQUESTS


def test_a_failure_that_breaks_the_device_ends_the_run_with_its_row_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.parquet"
    broken = Samples(key=REQUESTS[0].key, failure="AcceleratorError: illegal memory access")
    monkeypatch.setattr("benchmarks.resumable._is_broken", lambda device: True)
    monkeypatch.setattr("latency.measure._measure", lambda requests, **settings: iter([[broken]]))
    with pytest.raises(MoreToDoError, match="broke the device"):
        measured(path)
    assert [row.failure for row in LatencyTable.load(path).failed] == [broken.failure]


def test_whole_models_are_timed_once_a_round_over_several_runs(tmp_path: Path) -> None:
    path = tmp_path / "whole.jsonl"
    with pytest.raises(MoreToDoError, match="2 turns"):
        timed(path, minutes=0)
    first = timed(path)
    assert timed(path, minutes=0) == first
    timed(path, rounds=2)
    turns = [json.loads(line) for line in path.read_text().splitlines() if line]
    assert [turn["name"] for turn in turns] == ["f", "d f", "f", "d f"]


def test_a_line_cut_off_by_a_kill_is_measured_again_and_harms_no_other(tmp_path: Path) -> None:
    path = tmp_path / "whole.jsonl"
    first, _ = timed(path)
    path.write_text(path.read_text()[:-5])
    assert timed(path)[0] == first
    assert timed(path, minutes=0)[0] == first


def test_times_of_other_kernels_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "whole.jsonl"
    timed(path)
    monkeypatch.setattr("benchmarks.resumable.KERNEL_REVISION", "another")
    with pytest.raises(MoreToDoError):
        timed(path, minutes=0)


def test_a_model_that_fails_is_data_and_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "whole.jsonl"

    def fail(*arguments: object, **settings: object) -> list[float]:
        raise RuntimeError("no room")

    monkeypatch.setattr("benchmarks.resumable.time_whole_ms", fail)
    settings = {"workload": WORKLOAD, "path": path, "device": "cpu", "num_threads": 1, "rounds": 2}
    for deadline in (Deadline.after(None), Deadline.after(0)):
        times = time_models(MODELS, **settings, deadline=deadline)
        assert [time.failure for time in times] == ["RuntimeError: no room"] * 2
