import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latency.bandwidth import READ_BYTES_PER_SECOND
from latency.device import DeviceFingerprint
from latency.plan import requests_for_architecture
from latency.predict import floor_ms_by_operator, predict
from latency.rows import LatencyRow
from latency.table import LatencyTable
from latency.validation import ValidatedModel, Validation
from latency.workload import Workload
from nas.architectures import load_architecture
from nas.candidates import Candidate, Evaluated, Proposal
from nas.config import load_config
from nas.errors import RunDirectoryError
from nas.export.spec import spec_document, spec_text
from nas.results.priced_in_detail import pricer
from nas.results.reference_prices import priced_references
from nas.results.validation_picture import findings, validation_picture
from nas.run import Run
from nas.run_directory import RunDirectory
from nas.storage.open import journal_storage
from nas.study import Study
from operators.cost import num_parameters, state_bytes, weight_bytes
from search_spaces import Architecture, architecture_from_pattern, load_reference

REFERENCE = "nemotron-flash-1b"
WORKLOAD = Workload(phase="decode", generated_tokens=4, dtype="bfloat16")
HYBRID = architecture_from_pattern("a f d f w f m2 f", hidden_size=128, vocab_size=256)


def table_for(
    *architectures: Architecture, workload: Workload = WORKLOAD, bandwidth: float | None = None
) -> LatencyTable:
    rows = [
        LatencyRow(key=request.key, median_us=100.0, p20_us=90.0, p80_us=120.0, samples=3, backend="torch")
        for architecture in architectures
        for request in requests_for_architecture(architecture, workload=workload)
    ]
    device = DeviceFingerprint(device_name="Model 9000", kind="cuda", memory_bytes=2**34, num_threads=1)
    return LatencyTable(
        fingerprint=device, rows=rows, metadata={} if bandwidth is None else {READ_BYTES_PER_SECOND: bandwidth}
    )


def test_references_are_priced_as_candidates_are_and_those_unmeasured_left_out():
    architecture = load_reference(REFERENCE)
    table = table_for(architecture)
    (found,) = priced_references(table, WORKLOAD)
    assert found.name == REFERENCE
    assert found.figures == {
        "latency_ms": predict(architecture, WORKLOAD, table).milliseconds,
        "num_parameters": num_parameters(architecture),
    }
    assert found.pattern == architecture.pattern
    lacking = LatencyTable(fingerprint=table.fingerprint, rows=[row for row in table if row.key.part != "head"])
    assert priced_references(lacking, WORKLOAD) == ()
    assert priced_references(LatencyTable(fingerprint=table.fingerprint), WORKLOAD) == ()


def test_floors_are_what_the_prediction_says_shared_out_over_its_operators():
    table = table_for(HYBRID, bandwidth=1e9)
    floors = pricer(WORKLOAD, table)(HYBRID).floor_ms_by_operator
    prediction = predict(HYBRID, WORKLOAD, table)
    assert set(floors) == set(prediction.by_operator)
    assert sum(floors.values()) == pytest.approx(prediction.floor_ms)
    alone = Architecture(hidden_size=128, operators=HYBRID.operators[:1], vocab_size=256)
    assert floor_ms_by_operator(alone, WORKLOAD, table)["attention"] == pytest.approx(floors["attention"])


def test_without_a_bandwidth_there_are_no_floors():
    assert pricer(WORKLOAD, table_for(HYBRID))(HYBRID).floor_ms_by_operator == {}
    assert pricer(WORKLOAD, None)(HYBRID).floor_ms_by_operator == {}


def test_memory_grows_with_the_context_as_the_cost_says():
    batched = Workload(phase="decode", batch_size=3, generated_tokens=100, dtype="float16")
    memory = pricer(batched, None)(HYBRID).memory
    contexts = [at.context_tokens for at in memory]
    assert contexts == sorted({*contexts, batched.max_tokens})
    for at in memory:
        assert at.weight_bytes == weight_bytes(HYBRID, dtype_bytes=2)
        assert at.state_bytes == state_bytes(HYBRID, batch_size=3, context_tokens=at.context_tokens, dtype_bytes=2)


def test_a_validation_is_drawn_as_the_command_draws_it():
    models = tuple(
        ValidatedModel(name=f"m{size}", hidden_size=size, num_parameters=1, predicted_ms=size, measured_ms=size + 1.0)
        for size in (8, 16, 32)
    )
    found = Validation(date="2026-11-01", workload=WORKLOAD, models=models)
    picture = validation_picture(found, device="Model 9000")
    assert [(model.name, model.error) for model in picture.models] == [(m.name, m.error) for m in models]
    assert picture.findings == findings(found)
    assert picture.workload == WORKLOAD.describe()


@pytest.fixture
def searched(tmp_path: Path) -> Path:
    """The run directory of a search that evaluated two candidates and timed its table's models."""
    config = load_config("flash-1b-decode").resolved()
    workload, space = config.latency.workload, config.load_space()
    genomes = [space.sample(rng=np.random.default_rng(seed)) for seed in (0, 1)]
    directory = RunDirectory.create(tmp_path / "run")
    directory.config.write_text(config.to_yaml(), encoding="utf-8")
    environment = {
        "date": "2026-11-01T12:00:00+00:00",
        "corpus": {"sha256": "0" * 64, "tokenizer": {"name": "bytes"}},
        "packages": dict.fromkeys(("hybridnas", "torch", "ray", "optuna"), "1.0"),
    }
    directory.environment.write_text(json.dumps(environment), encoding="utf-8")
    table = table_for(*map(space.decode, genomes), workload=workload)
    models = tuple(
        ValidatedModel(name="m", hidden_size=8, num_parameters=1, predicted_ms=size, measured_ms=size + 1.0)
        for size in (8, 16)
    )
    table.add_validation(Validation(date="2026-11-01", workload=workload, models=models))
    table.save(directory.latency)
    study: Study[Any] = Study(
        space=space,
        objectives=config.objectives,
        storage=journal_storage(directory.journal),
        name=config.study_name,
    )
    for number, genome in enumerate(genomes):
        target = space.decode(genome)
        prediction = predict(target, workload, table)
        candidate = Candidate(
            number=number,
            proposal=Proposal(genome=genome, origin="random"),
            fingerprint=target.fingerprint(),
            seed=0,
            cheap={"latency_ms": prediction.milliseconds, "num_parameters": float(num_parameters(target))},
            description={"target": target.to_dict(), "latency_by_operator": dict(prediction.by_operator)},
        )
        study.add(candidate)
        study.finish(number, Evaluated(objectives={"perplexity": 10.0 + number}))
    return directory.path


def test_the_text_of_a_candidate_is_what_export_writes(searched):
    run = Run(searched)
    results = run.results()
    record = run.study.history().frontier()[0]
    architecture = Architecture.from_dict(dict(record.candidate.description["target"]))
    assert results.spec_text is not None
    assert results.spec_text(architecture) == spec_text(spec_document(run, record), as_json=False)
    written = searched.parent / "unknown.yaml"
    written.write_text(results.spec_text(HYBRID))
    assert load_architecture(str(written)) == HYBRID


def test_a_run_without_its_table_or_surroundings_is_drawn_and_says_so(searched):
    whole = Run(searched).results()
    assert whole.validation is not None
    for name in ("latency.parquet", "environment.json"):
        (searched / name).unlink()
    bare = Run(searched).results()
    assert len(bare.trials) == len(whole.trials)
    assert "no latency table" in bare.caveats[0]
    assert bare.validation is None
    assert bare.price is not None


def test_files_that_are_garbled_hide_no_trial(searched):
    (searched / "latency.parquet").write_text("no table")
    (searched / "environment.json").write_text("{}")
    results = Run(searched).results()
    assert len(results.trials) == 2
    assert "latency table cannot be read" in results.caveats[0]
    assert "environment.json cannot be read" in results.provenance["versions"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"a": {"trial": 1}}', '{"a": [1]}', "\x00"])
@pytest.mark.parametrize("name", ["fidelity.json", "verification.json"])
def test_what_longer_trainings_or_timings_say_hides_no_trial_where_it_is_garbled(searched, name, text):
    (searched / name).write_text(text)
    results = Run(searched).results()
    assert len(results.trials) == 2
    said = [caveat for caveat in results.caveats if f"{name} cannot be read" in caveat]
    assert len(said) == (0 if (name, text) == ("verification.json", "{}") else 1)


@pytest.mark.parametrize("text", ["{", "[]", "{}", None])
def test_the_text_of_a_candidate_cannot_be_written_where_the_run_does_not_say_what_it_was_made_with(searched, text):
    path = searched / "environment.json"
    path.unlink() if text is None else path.write_text(text)
    run = Run(searched)
    architecture = Architecture.from_dict(dict(run.study.history()[0].candidate.description["target"]))
    with pytest.raises(RunDirectoryError, match=r"environment\.json cannot be read"):
        run.spec_text(architecture)
