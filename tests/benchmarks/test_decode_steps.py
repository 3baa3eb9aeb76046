"""Nobody's chain is timed before its outputs are those of the torch step."""

from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks import decode_steps
from benchmarks.decode_steps import CHECKED_STEPS, Copy, chain_errors, check
from benchmarks.document import IncorrectError
from operators.registry import build_operator
from search_spaces.dimensions import Dimensions
from search_spaces.specs import OperatorSpec

WIDTH = 64
SPECS = {letter: Dimensions().operator(letter, hidden_size=WIDTH) for letter in decode_steps.LETTERS}


class OtherChain:
    """Stands in for another library's chain: the torch step on a copy of the state, its output times a factor."""

    def __init__(self, operator: Any, spec: OperatorSpec, copy: Copy, *, factor: float) -> None:
        self.plain: Any = build_operator(spec, hidden_size=WIDTH, norm_eps=1e-6, backend="reference")
        self.plain.load_state_dict(operator.state_dict())
        self.state = self.plain.new_state(
            batch_size=1, max_tokens=CHECKED_STEPS, device="cpu", dtype=copy.projected.dtype
        )
        for mine, theirs in zip(self.state.tensors(), copy.state.tensors(), strict=True):
            mine.copy_(theirs)
        self.projected, self.factor = copy.projected, factor

    def __call__(self) -> Tensor:
        return self.factor * decode_steps._without_projections(self.plain, self.projected, self.state)

    def advance(self, projected_BC: Tensor) -> None:
        self.projected = projected_BC


@pytest.mark.parametrize("letter", SPECS)
def test_another_chain_starts_where_ours_does_and_takes_the_same_tokens(
    letter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(operator: Any, spec: OperatorSpec, copy: Copy) -> dict[str, Any]:
        return {"other": OtherChain(operator, spec, copy, factor=1.0)}

    monkeypatch.setattr(decode_steps, "foreign_chains", other)
    errors = chain_errors(SPECS[letter], width=WIDTH, device="cpu", dtype=torch.float32)
    assert errors["other"] == 0
    assert errors["ours"] < 1e-5


def test_a_chain_that_computes_something_else_is_named_and_nothing_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(operator: Any, spec: OperatorSpec, copy: Copy) -> dict[str, Any]:
        return {"other": OtherChain(operator, spec, copy, factor=1.01)}

    monkeypatch.setattr(decode_steps, "foreign_chains", other)
    with pytest.raises(IncorrectError, match=r"The other step of DeltaNetSpec at width 64 must be .* got 1\.00e-02"):
        check(SPECS["d"], width=WIDTH, device="cpu", dtype=torch.float32)


def test_on_a_cpu_nothing_of_others_runs() -> None:
    for spec in SPECS.values():
        assert chain_errors(spec, width=WIDTH, device="cpu", dtype=torch.float32).keys() == {"ours"}
