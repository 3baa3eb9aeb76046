"""Pure models as fast as a given one: one kind of mixer, at every width as deep as the table predicts the same time.

Operators are those of the searched space, so that everything is priced by rows that the run measured.
"""

from dataclasses import replace
from itertools import count
from typing import Any, Final

from latency.predict import predict
from latency.table import LatencyTable
from latency.workload import Workload
from search_spaces.architecture import Architecture
from search_spaces.space import ArchitectureSpace
from search_spaces.specs import AttentionSpec, FFNSpec, Mamba2Spec, OperatorSpec

TOLERANCE: Final = 0.05
"""How far a pure model's predicted latency may be from the given one's; it need not divide into whole blocks."""

KINDS: Final[dict[str, tuple[type[OperatorSpec], ...]]] = {
    "attention": (AttentionSpec, FFNSpec),
    "Mamba2": (Mamba2Spec,),
}
"""Blocks of pure models: Mamba2 without FFN, as in the paper's comparison [NF 2.2]."""


def pure_models(
    kind: str, like: Architecture, *, space: ArchitectureSpace[Any], workload: Workload, table: LatencyTable
) -> list[Architecture]:
    """Return the pure models of a kind, one a width, whose predicted latency is that of `like` but for `TOLERANCE`.

    Raises:
        UnmeasuredError: the table lacks an operator.
    """
    wanted_ms = predict(like, workload, table).milliseconds
    found = []
    for block, width in _blocks(kind, space):
        shallower = replace(like, hidden_size=width, operators=block)
        for depth in count(1):
            model = replace(shallower, operators=block * depth)
            if predict(model, workload, table).milliseconds > wanted_ms:
                break
            shallower = model
        nearest = min((shallower, model), key=lambda one: abs(predict(one, workload, table).milliseconds - wanted_ms))
        if abs(predict(nearest, workload, table).milliseconds / wanted_ms - 1) <= TOLERANCE:
            found.append(nearest)
    return found


def _blocks(kind: str, space: ArchitectureSpace[Any]) -> list[tuple[tuple[OperatorSpec, ...], int]]:
    by_width: dict[int, list[OperatorSpec]] = {}
    for width, spec in space.distinct_operators():
        by_width.setdefault(width, []).append(spec)
    return [
        (tuple(next(spec for spec in specs if isinstance(spec, wanted)) for wanted in KINDS[kind]), width)
        for width, specs in sorted(by_width.items())
        if all(any(isinstance(spec, wanted) for spec in specs) for wanted in KINDS[kind])
    ]
