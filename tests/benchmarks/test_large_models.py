from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.large_models import Plan, document, gpu_plan, hybrids, measured_document
from benchmarks.latency_prediction import command
from benchmarks.resumable import Deadline, MoreToDoError, WholeTime
from latency.device import DeviceFingerprint
from latency.plan import requests_for_architecture
from latency.predict import predict
from latency.rows import LatencyRow
from latency.table import LatencyTable
from latency.validate import NamedArchitecture
from latency.workload import Workload
from operators.cost import num_parameters
from search_spaces.presets import load_preset
from search_spaces.references import load_reference
from search_spaces.specs import is_mixer

REFERENCES = ("nemotron-flash-1b", "qwen2.5-0.5b", "qwen3-0.6b")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Plan:
    # One width of the space, so that its rows are measured in a second.
    narrow = replace(load_preset("quick-cpu"), hidden_sizes=(32,))
    monkeypatch.setattr("benchmarks.large_models.load_preset", lambda name: narrow)
    priced = Workload(phase="decode", generated_tokens=8)
    return Plan(
        space="quick-cpu",
        references=(),
        num_hybrids=2,
        priced=priced,
        run=priced,
        rounds=1,
        seconds_per_set=0.0,
    )


def test_a_gpu_is_asked_for_forty_hybrids_of_a_hundred_million_parameters() -> None:
    models = hybrids(gpu_plan(full=False))
    assert len(models) == 40
    assert min(num_parameters(model.architecture) for model in models) >= 100e6
    for model in models:
        assert len({spec.letter for spec in model.architecture.operators if is_mixer(spec)}) > 1


def test_what_models_run_lies_within_the_contexts_that_are_measured() -> None:
    plan = gpu_plan(full=False)
    middle = plan.run.prompt_tokens + plan.run.generated_tokens / 2
    assert middle == plan.priced.generated_tokens / 2
    assert gpu_plan(full=True).run == plan.priced


def test_it_stops_in_time_goes_on_and_ends_with_a_document(tiny: Plan, tmp_path: Path) -> None:
    settings = {"device": "cpu", "num_threads": 1, "keep": tmp_path}
    with pytest.raises(MoreToDoError):
        measured_document(tiny, **settings, deadline=Deadline.after(0))
    found = measured_document(tiny, **settings, deadline=Deadline.after(None))
    assert found.figures["hybrids: models"].value == 2
    # Everything is kept, so no time is needed any more.
    again = measured_document(tiny, **settings, deadline=Deadline.after(0))
    assert again.to_text() == found.to_text()


def exact(plan: Plan, names: tuple[str, ...]) -> tuple[LatencyTable, list[WholeTime]]:
    """Return a table of made-up times, and whole models that take exactly their sums."""
    fingerprint = DeviceFingerprint(device_name="Model 9000", kind="cuda", memory_bytes=2**36, num_threads=1)
    table = LatencyTable(fingerprint=fingerprint)
    models = [NamedArchitecture(name=name, architecture=load_reference(name)) for name in names]
    for model in models:
        for request in requests_for_architecture(model.architecture, workload=plan.priced):
            time_us = request.hidden_size / 100
            table.add(
                LatencyRow(
                    key=request.key, median_us=time_us, p20_us=time_us, p80_us=time_us, samples=1, backend="reference"
                )
            )
    times = [
        WholeTime(model=model, milliseconds=predict(model.architecture, plan.run, table).milliseconds)
        for model in models
    ]
    return table, times


def test_a_perfect_prediction_of_enough_models_holds_every_claim() -> None:
    plan = replace(gpu_plan(full=False), num_hybrids=len(REFERENCES))
    table, times = exact(plan, REFERENCES)
    found = document(plan, table, times, times, device="cpu", num_threads=1)
    failing = [claim.claim for claim in found.claims if not claim.holds]
    # No two of these are within 10 %: there is nothing to say of close pairs.
    assert failing in ([], ["pairs within 10 % in the right order, %"])
    assert found.figures["hybrids: mean absolute error"].value == pytest.approx(0)


def test_references_stand_beside_their_published_seconds() -> None:
    plan = gpu_plan(full=False)
    table, times = exact(plan, REFERENCES)
    figures = document(plan, table, [], times, device="cpu", num_threads=1).figures
    assert figures["nemotron-flash-1b: published"].value == 14.45
    assert figures["nemotron-flash-1b: published place"].value == 1
    assert {figures[f"{name}: place"].value for name in REFERENCES} == {1, 2, 3}


def test_a_model_that_failed_lets_the_claims_fail() -> None:
    plan = replace(gpu_plan(full=False), num_hybrids=len(REFERENCES))
    table, times = exact(plan, REFERENCES)
    times[0] = replace(times[0], milliseconds=float("nan"), failure="OutOfMemoryError")
    found = document(plan, table, times, times, device="cpu", num_threads=1)
    failing = {claim.claim for claim in found.claims if not claim.holds}
    assert failing >= {"hybrids predicted and timed whole", "references predicted and timed whole, of those that fit"}


def test_the_command_line_knows_minutes_and_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert command(["--device", "cuda", "--minutes", "8.5", "--keep", str(tmp_path)]) == 4
    assert "needs a CUDA device" in capsys.readouterr().err
