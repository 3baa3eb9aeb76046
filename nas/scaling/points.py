"""The points of a scaling law, read from the trials of a run: what was trained, training seeds put together."""

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.candidates import Record
from nas.config import CHEAP_OBJECTIVE, EXPENSIVE_OBJECTIVE
from nas.run import Run
from nas.scaling.law import ScalingPoint
from search_spaces import ArchitectureSpace, DepthWidthGenome, DepthWidthSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedSetting:
    """A depth and width that gave no perplexity."""

    depth: int
    width: int
    trial: int
    kind: str
    message: str


def points_of(run: Run) -> list[ScalingPoint]:
    """Return one point for every architecture with a perplexity, small ones first.

    Several training seeds of one architecture become one point with their geometric mean. Depth counts blocks in a
    depth-width space, else operators.
    """
    by_fingerprint: dict[str, list[Record[Any]]] = defaultdict(list)
    for record in run.study.history():
        if EXPENSIVE_OBJECTIVE in record.objectives:
            by_fingerprint[record.candidate.fingerprint].append(record)
    points = [_point(sorted(records, key=lambda r: r.number), run.space) for records in by_fingerprint.values()]
    return sorted(points, key=lambda point: (point.num_parameters, point.depth, point.width))


def failures_of(run: Run) -> list[FailedSetting]:
    """Return the trials that gave no perplexity, by number."""
    failed = []
    for record in sorted(run.study.history(), key=lambda r: r.number):
        if record.failure is not None:
            depth, width = _depth_and_width(record.genome, run.space)
            failed.append(
                FailedSetting(
                    depth=depth,
                    width=width,
                    trial=record.number,
                    kind=record.failure.kind,
                    message=record.failure.message.splitlines()[0],
                )
            )
    return failed


def operators_differ(run: Run) -> bool:
    """Whether the run's models differ in more than depth and width, so that a law over both is an average."""
    return not isinstance(run.space, DepthWidthSpace)


def _point(records: list[Record[Any]], space: ArchitectureSpace[Any]) -> ScalingPoint:
    first = records[0]
    perplexities = tuple(record.objectives[EXPENSIVE_OBJECTIVE] for record in records)
    depth, width = _depth_and_width(first.genome, space)
    return ScalingPoint(
        depth=depth,
        width=width,
        tokens=int(first.details["tokens_seen"]),
        perplexity=float(np.exp(np.mean(np.log(perplexities)))),
        num_parameters=int(first.objectives["num_parameters"]),
        latency_ms=first.objectives.get(CHEAP_OBJECTIVE),
        perplexities=perplexities,
        trials=tuple(record.number for record in records),
    )


def _depth_and_width(genome: Hashable, space: ArchitectureSpace[Any]) -> tuple[int, int]:
    if isinstance(genome, DepthWidthGenome):
        return genome.num_blocks, genome.hidden_size
    architecture = space.decode(genome)
    return architecture.depth, architecture.hidden_size
