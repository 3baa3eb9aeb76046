import json

import pytest

from benchmarks.document import Claim, Document, Figure, IncorrectError, Options, main, versions


def document(*, holds: bool = True) -> Document:
    return Document(
        benchmark="toy",
        device="abacus",
        versions={"beads": "3"},
        figures={"small: time": Figure(value=1.5, unit="ms"), "small: speed": Figure(value=2.0, unit="×")},
        claims=[Claim.at_least("fast enough", value=2.0, bound=1.0 if holds else 3.0)],
    )


def test_a_document_has_exactly_the_agreed_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(lambda options: document(), description="", arguments=["--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert json.loads(captured.out) == {
        "benchmark": "toy",
        "device": "abacus",
        "versions": {"beads": "3"},
        "figures": {"small: time": {"value": 1.5, "unit": "ms"}, "small: speed": {"value": 2.0, "unit": "×"}},
        "claims": [{"claim": "fast enough", "value": 2.0, "bound": 1.0, "holds": True}],
    }


def test_a_claim_that_does_not_hold_ends_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(lambda options: document(holds=False), description="", arguments=[]) == 1
    assert "FAILS" in capsys.readouterr().out


def test_aspects_of_one_subject_share_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    main(lambda options: document(), description="", arguments=[])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line.startswith(("figure", "small"))] == [
        ["figure", "time", "speed"],
        ["small", "1.5", "ms", "2", "×"],
    ]


@pytest.mark.parametrize(("value", "least", "most"), [(1.0, True, True), (2.0, True, False), (0.5, False, True)])
def test_bounds_are_inclusive(value: float, least: bool, most: bool) -> None:
    assert Claim.at_least("", value=value, bound=1.0).holds is least
    assert Claim.at_most("", value=value, bound=1.0).holds is most


def test_options_reach_the_benchmark() -> None:
    seen: list[Options] = []

    def benchmark(options: Options) -> Document:
        seen.append(options)
        return document()

    main(benchmark, description="", arguments=["--full"])
    assert seen == [Options(device="cpu", full=True)]


def test_a_device_the_benchmark_does_not_know_is_an_environment_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(lambda options: document(), description="", arguments=["--device", "cuda"]) == 4
    assert "runs on cpu; got --device cuda" in capsys.readouterr().err


def test_a_missing_gpu_is_an_environment_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    arguments = ["--device", "cuda", "--json"]
    assert main(lambda options: document(), description="", devices=("cpu", "cuda"), arguments=arguments) == 4
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "needs a CUDA device" in captured.err


def test_a_wrong_result_prints_no_speed(capsys: pytest.CaptureFixture[str]) -> None:
    def benchmark(options: Options) -> Document:
        raise IncorrectError("output differs")

    assert main(benchmark, description="", arguments=[]) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "output differs\n")


def test_versions_name_what_is_absent() -> None:
    found = versions("numpy", "no-such-distribution")
    assert found["numpy"][0].isdigit()
    assert found["no-such-distribution"] == "absent"
    assert set(found) == {"python", "numpy", "no-such-distribution", "commit"}
