import json
import math

import pytest

from nas.errors import StudyError
from nas.fidelity.picture import fidelity_picture
from nas.fidelity.report import FidelityReport, load_report
from nas.fidelity.rows import FailedTraining, FidelityRow
from nas.fidelity.statistics import compare, noise_over_seeds, shorter_trainings
from nas.fidelity.words import findings
from proxies.projection import fit_projection
from proxies.traits import size_trait

LENGTHS = (0.5, 4.0)


def made_report(*, half_ranks=True):
    rows = []
    for trial in range(8):
        short, long = 20.0 + trial, 15.0 + trial
        half = 2 * short if half_ranks else 100 - short
        trained = {0.5: {1000: half, 1001: half}, 4.0: {1000: long, 1001: 1.02 * long}}
        scores = {"num_parameters": -1000.0 * (trial + 1), "flops_per_token": -5.0, "depth": -2.0}
        rows.append(
            FidelityRow(
                trial=trial,
                pattern="a f",
                is_frontier=trial < 2,
                perplexity=short,
                num_parameters=1000 * (trial + 1),
                traits=size_trait(1000 * (trial + 1)),
                scores=scores,
                trained=trained,
            )
        )
    return FidelityReport(
        name="made up",
        rows=tuple(rows),
        comparisons=(compare(rows, times=4.0, lengths=LENGTHS, seed=0),),
        projection=fit_projection(
            [row.perplexity for row in rows], [row.traits for row in rows], [row.at(4.0) for row in rows]
        ),
        shorter=tuple(shorter_trainings(rows, times=4.0, lengths=LENGTHS, first_seed=1000, seed=0)),
        noise=(noise_over_seeds(rows, times=4.0),),
        failures=(FailedTraining(trial=3, times=4.0, seed=1001, kind="diverged", message="It did."),),
        caveats=("One training gave no perplexity.",),
    )


def test_a_report_is_kept_and_read_back_whole(tmp_path):
    report = made_report()
    assert load_report(tmp_path) is None
    report.save(tmp_path)
    assert load_report(tmp_path) == report


def test_the_file_says_which_shorter_training_ranks_as_well():
    content = made_report().to_dict()
    assert (content["cheapest_times"], content["shorter"][0]["ranks_as_well"]) == (0.5, True)
    content = made_report(half_ranks=False).to_dict()
    assert (content["cheapest_times"], content["shorter"][0]["ranks_as_well"]) == (1.0, False)


def test_a_damaged_report_and_one_of_a_newer_version_are_errors(tmp_path):
    path = tmp_path / "fidelity.json"
    path.write_text('{"schema_version": 1}')
    with pytest.raises(StudyError, match="Write it again"):
        load_report(tmp_path)
    path.write_text(json.dumps(made_report().to_dict() | {"schema_version": 3}))
    with pytest.raises(StudyError, match="reads up to 2"):
        load_report(tmp_path)


def test_a_report_of_the_version_before_is_read_by_its_parameters_alone(tmp_path):
    content = made_report().to_dict() | {"schema_version": 1}
    for row in content["rows"]:
        del row["traits"]
    projection = content["projection"]
    projection["parameter_weight"] = projection.pop("weights")["ln_parameters"]
    projection["reference_parameters"] = math.exp(projection.pop("means")["ln_parameters"])
    (tmp_path / "fidelity.json").write_text(json.dumps(content))
    found = load_report(tmp_path)
    assert found.rows == made_report().rows
    assert found.projection(20.0, size_trait(3000)) == pytest.approx(made_report().projection(20.0, size_trait(3000)))


def test_the_findings_carry_the_figures():
    words = "\n".join(findings(made_report()))
    assert "ranks 8 candidates as training 4 times as long with a Spearman correlation of 1.00" in words
    assert "its first choice is 0 % worse than the best" in words
    assert "is 0.5 times as long: 1.00 [1.00, 1.00]" in words
    assert "learnt from 8 trainings 4 times as long" in words
    assert "Another seed changes perplexity by 1.4 % at 4×" in words
    assert "No training shorter than the run's ranks as well" in "\n".join(findings(made_report(half_ranks=False)))


def test_the_picture_is_of_the_longest_training():
    picture = fidelity_picture(made_report())
    assert picture.times == 4
    assert [candidate.number for candidate in picture.candidates] == list(range(8))
    first = picture.candidates[0]
    assert (first.low, first.high) == (15.0, pytest.approx(15.3))
    assert first.low < first.long_perplexity < first.high
    assert [score.name for score in picture.scores if score.is_ranked_by] == ["perplexity in the search"]
