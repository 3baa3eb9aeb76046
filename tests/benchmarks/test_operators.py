from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from benchmarks import operators
from benchmarks.document import IncorrectError, Options
from benchmarks.operator_layers import KINDS
from benchmarks.operators import Case, check, delta_rule_case, layer_case, scan_case, time_pairs


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small_cases() -> list[Case]:
    return [
        scan_case(batch=1, tokens=37, heads=2, head_dim=8, groups=1, state=4, device="cpu"),
        *(layer_case(kind, width=64, batch=1, tokens=40, device="cpu") for kind in KINDS),
        delta_rule_case(batch=1, tokens=37, heads=2, head_dim=8, device="cpu"),
    ]


@pytest.mark.parametrize("case", small_cases(), ids=lambda case: case.name)
def test_a_wrong_output_is_refused_before_anything_is_timed(case: Case) -> None:
    check(case)
    with pytest.raises(IncorrectError, match=r"output must agree.*No speed is reported"):
        check(replace(case, ours=lambda: 1.001 * case.ours()))


@pytest.mark.parametrize("case", small_cases(), ids=lambda case: case.name)
def test_a_wrong_gradient_is_refused(case: Case) -> None:
    name = next(iter(case.leaves))
    ours, theirs = case.leaves[name]
    leaves = {**case.leaves, name: (ours, theirs)}

    def with_wrong_gradient() -> torch.Tensor:
        return case.ours() + (0.01 * ours - 0.01 * ours.detach()).sum()

    with pytest.raises(IncorrectError, match=f"{name} must agree"):
        check(replace(case, ours=with_wrong_gradient, leaves=leaves))


def test_both_sides_are_timed_equally_often() -> None:
    calls: list[str] = []
    case = small_cases()[0]

    def note(side: str) -> torch.Tensor:
        calls.append(side)
        return (case.ours if side == "ours" else case.theirs)()

    noted = replace(case, ours=lambda: note("ours"), theirs=lambda: note("theirs"))
    ours, theirs = time_pairs(noted, samples=3, device="cpu")
    assert len(ours) == len(theirs) == 3
    assert calls.count("ours") == calls.count("theirs") == 5
    assert calls[0] != calls[2], "turns change who goes first"


def test_the_document_claims_the_least_speedup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "cases", lambda **_: small_cases())
    monkeypatch.setattr(operators, "time_pairs", lambda case, **_: ([2.0] * 20, [3.0] * 20))
    document = operators.benchmark(Options(device="cpu", full=False))
    assert [claim.value for claim in document.claims] == [1.5] * len(small_cases())
    assert document.exit_code == 0
    assert document.figures[f"{small_cases()[0].name}: speedup p20"].value == 1.5
