from dataclasses import replace

import pytest
import torch

from benchmarks import backends
from benchmarks.backends import SETTINGS, Shape, auto_over_best, check, command, mixers, runs, take_turns
from benchmarks.document import IncorrectError
from operators.deltanet.layer import DeltaNet
from search_spaces.specs import DeltaNetSpec

SPEC = DeltaNetSpec(num_heads=2, head_dim=8)
SETTING = SETTINGS["cpu"]


def test_the_dry_run_checks_every_backend_and_ends_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = replace(SETTING, widths=(64,), shapes=(Shape(batch=1, tokens=1), Shape(batch=1, tokens=5)))
    monkeypatch.setitem(SETTINGS, "cpu", small)  # type: ignore[arg-type]  # a dict behind its Mapping
    assert command(["--mixer", "d", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "d: output and input gradient of every backend are those of the reference" in printed
    assert "d, width 64, 1×5 tokens, both passes" in printed


def test_a_wrong_backend_is_refused_before_anything_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(SPEC, SETTING, width=16, backend="chunked", is_step=False) <= 1e-5
    right = backends.build

    def wrong(*arguments: object, backend: str, **options: object) -> object:
        layer = right(*arguments, backend=backend, **options)  # type: ignore[arg-type]  # handed on as it came
        if backend == "chunked":
            with torch.no_grad():
                layer.get_parameter("conv.weight").mul_(1.001)
        return layer

    monkeypatch.setattr(backends, "build", wrong)
    with pytest.raises(IncorrectError, match=r"backend chunked.*No speed is reported"):
        check(SPEC, SETTING, width=16, backend="chunked", is_step=False)
    with pytest.raises(IncorrectError, match="output"):
        check(SPEC, SETTING, width=16, backend="chunked", is_step=True)


def test_what_takes_turns_is_auto_and_all_that_can_run_there() -> None:
    every = runs(SPEC, SETTING, width=16, shape=Shape(batch=1, tokens=3), has_backward=True)
    assert set(every) == {"auto", "chunked", "reference"}
    long = runs(SPEC, SETTING, width=16, shape=Shape(batch=1, tokens=200), has_backward=False)
    assert "reference" not in long, "it would walk token by token"
    assert set(runs(SPEC, SETTING, width=16, shape=Shape(batch=1, tokens=1), has_backward=False)) >= {"auto"}
    assert {"chunked", "reference"} <= set(DeltaNet.sequence_backends)


def test_turns_change_who_goes_first_and_each_is_timed_equally_often() -> None:
    calls: list[str] = []
    times = take_turns({name: lambda name=name: calls.append(name) for name in "abc"}, samples=4, device="cpu")
    assert [len(taken) for taken in times.values()] == [4, 4, 4]
    assert "".join(calls[:9]) == "abcbcacab"


def test_auto_is_held_against_the_fastest_other() -> None:
    assert auto_over_best({"auto": 3.0, "chunked": 2.0, "reference": 9.0}) == 1.5


def test_mixers_are_those_that_some_spec_has() -> None:
    assert {"d", "m1", "m2"} <= set(mixers())
