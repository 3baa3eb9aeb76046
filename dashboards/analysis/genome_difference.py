"""Where genomes differ: their JSON flattened to paths, and the paths whose values are not the same in all."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

Flat = Mapping[str, str]


def flattened(genome: Any, path: str = "") -> dict[str, str]:
    """Return every leaf of a genome by its path, as in `stages[0].repeats`, written as JSON; text without quotes."""
    if isinstance(genome, Mapping) and genome:
        leaves: dict[str, str] = {}
        for name, value in genome.items():
            leaves |= flattened(value, f"{path}.{name}" if path else str(name))
        return leaves
    if isinstance(genome, list) and genome:
        leaves = {}
        for index, value in enumerate(genome):
            leaves |= flattened(value, f"{path}[{index}]")
        return leaves
    return {path or "genome": genome if isinstance(genome, str) else json.dumps(genome)}


def differing_paths(genomes: Sequence[Flat]) -> list[str]:
    """Return the paths at which not all genomes hold the same, in the order they are met; an absent one differs."""
    paths = dict.fromkeys(path for genome in genomes for path in genome)
    return [path for path in paths if len({genome.get(path) for genome in genomes}) > 1]
