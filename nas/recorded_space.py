"""Genomes of a study whose space nobody has at hand: kept as they are recorded, never proposed or decoded."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from nas.errors import UsageError


class RecordedSpace:
    """Stands for the space of a study that is only looked at; a genome is its JSON."""

    def to_dict(self, genome: str) -> dict[str, Any]:
        """Return what was recorded."""
        content: dict[str, Any] = json.loads(genome)
        return content

    def from_dict(self, mapping: Mapping[str, Any]) -> str:
        """Return what was recorded, hashable."""
        return json.dumps(mapping, sort_keys=True)

    def contains(self, genome: str) -> bool:
        """Refuse: it is not known."""
        self._refuse(genome)

    def sample(self, *, rng: np.random.Generator) -> str:
        """Refuse: nothing is proposed."""
        self._refuse(rng)

    def mutate(self, genome: str, *, rng: np.random.Generator) -> tuple[str, str]:
        """Refuse: nothing is proposed."""
        self._refuse(genome, rng)

    def crossover(self, first: str, second: str, *, rng: np.random.Generator) -> str:
        """Refuse: nothing is proposed."""
        self._refuse(first, second, rng)

    def features(self, genome: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Refuse: they are not known."""
        self._refuse(genome)

    def decode(self, genome: str) -> object:
        """Refuse: it is not known how."""
        self._refuse(genome)

    def _refuse(self, *_: object) -> NoReturn:
        raise UsageError("The space of a study without its configuration is not known: its genomes can only be read.")
