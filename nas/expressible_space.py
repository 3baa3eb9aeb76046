"""A space of which only genomes are proposed that formats of other engines can hold.

What a format can hold, each says itself (`Exporter.obstacles`). Genomes are drawn until one has no obstacles: a space
most of which is in the way should be narrowed instead, and an error says how.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from nas.errors import InfeasibleError
from nas.export.exporter import Exporter, Obstacle
from search_spaces import Architecture, ArchitectureSpace, EnumerableSpace, SuggestingTrial
from search_spaces.presets import AnySpace
from search_spaces.specs import OperatorSpec

G = TypeVar("G", bound=Hashable)

SAMPLES: Final = 2000
"""Random genomes drawn before a space is taken to hold none that can be exported."""

CHILDREN: Final = 200
"""Children drawn of one genome, or of two, at each distance."""

STEPS: Final = 4
"""Mutations in a row that are tried where no fewer lead to a genome that can be exported."""


class ExpressibleSpace(Generic[G]):
    """A space of architectures, without what one of the formats cannot hold."""

    def __init__(self, space: AnySpace, *, exporters: Sequence[Exporter]) -> None:
        self.space: Any = space
        self.exporters = tuple(exporters)

    @property
    def vocab_size(self) -> int:
        """Tokens of the vocabulary."""
        return int(self.space.vocab_size)

    @property
    def num_meta_tokens(self) -> int:
        """Meta tokens of every architecture."""
        return int(self.space.num_meta_tokens)

    def obstacles(self, genome: G) -> tuple[Obstacle, ...]:
        """Return everything that stands in the way of a genome's export, in any of the formats."""
        architecture = self.decode(genome)
        return tuple(obstacle for exporter in self.exporters for obstacle in exporter.obstacles(architecture))

    def sample(self, *, rng: np.random.Generator) -> G:
        """Return a random genome that can be exported.

        Raises:
            InfeasibleError: none of many can; names what stands in the way most often.
        """
        struck: Counter[str] = Counter()
        example: dict[str, Obstacle] = {}
        for _ in range(SAMPLES):
            genome: G = self.space.sample(rng=rng)
            obstacles = self.obstacles(genome)
            if not obstacles:
                return genome
            example |= {obstacle.remedy: obstacle for obstacle in obstacles}
            struck.update({obstacle.remedy for obstacle in obstacles})
        remedy, times = struck.most_common(1)[0]
        raise InfeasibleError(
            f"Only genomes that can be exported as {self._formats} may be proposed; of {SAMPLES} random ones none can. "
            f"In the way of {times}: {example[remedy].feature}. In the space, {remedy}; or take the format out of "
            "`export`."
        )

    def mutate(self, genome: G, *, rng: np.random.Generator) -> tuple[G, str]:
        """Return a genome that can be exported and differs in one factor, or in the fewest that lead to one.

        Raises:
            InfeasibleError: none is near.
        """
        for steps in range(1, STEPS + 1):
            for _ in range(CHILDREN):
                child, words = genome, []
                for _ in range(steps):
                    child, said = self.space.mutate(child, rng=rng)
                    words.append(said)
                if child != genome and not self.obstacles(child):
                    return child, "; ".join(words)
        raise InfeasibleError(
            f"Only genomes that can be exported as {self._formats} may be proposed; none within {STEPS} mutations of "
            f"{self.decode(genome).pattern} can. Widen the space, or take a format out of `export`."
        )

    def crossover(self, first: G, second: G, *, rng: np.random.Generator) -> G:
        """Return a genome that can be exported made of parts of both; the first itself where none is found."""
        for _ in range(CHILDREN):
            child: G = self.space.crossover(first, second, rng=rng)
            if not self.obstacles(child):
                return child
        return first

    def suggest(self, trial: SuggestingTrial) -> G:
        """Return the genome of the parameters a trial gives, which `contains` may refuse."""
        genome: G = self.space.suggest(trial)
        return genome

    def fit(self, genome: G, meets: Callable[[G], bool]) -> G | None:
        """Return the largest repaired genome that can be exported and that `meets` accepts, or none."""
        fitted: G | None = self.space.fit(genome, lambda candidate: not self.obstacles(candidate) and meets(candidate))
        return fitted

    def contains(self, genome: G) -> bool:
        """Whether the genome obeys every limit of the space and can be exported."""
        return bool(self.space.contains(genome)) and not self.obstacles(genome)

    def features(self, genome: G) -> NDArray[np.float64]:
        """Return numbers of fixed length for a surrogate model."""
        found: NDArray[np.float64] = self.space.features(genome)
        return found

    def to_dict(self, genome: G) -> dict[str, Any]:
        """Return a JSON-ready mapping of the genome."""
        mapping: dict[str, Any] = self.space.to_dict(genome)
        return mapping

    def from_dict(self, mapping: Mapping[str, Any]) -> G:
        """Read what `to_dict` wrote."""
        genome: G = self.space.from_dict(mapping)
        return genome

    def decode(self, genome: G) -> Architecture:
        """Return the target architecture."""
        architecture: Architecture = self.space.decode(genome)
        return architecture

    def encode(self, architecture: Architecture) -> G | None:
        """Return the genome that decodes to an architecture, or none where the space holds none."""
        genome: G | None = self.space.encode(architecture)
        return genome

    def distinct_operators(self) -> Iterable[tuple[int, OperatorSpec]]:
        """Return every distinct (hidden size, operator spec) of the whole space, also what no proposal will hold."""
        operators: Iterable[tuple[int, OperatorSpec]] = self.space.distinct_operators()
        return operators

    @property
    def _formats(self) -> str:
        return " and ".join(exporter.name for exporter in self.exporters)


@final
class EnumerableExpressibleSpace(ExpressibleSpace[G]):
    """Such a space that lists its genomes."""

    def genomes(self) -> Sequence[G]:
        """Return every genome that can be exported, in the space's order.

        Raises:
            InfeasibleError: none can.
        """
        found = tuple(genome for genome in self.space.genomes() if not self.obstacles(genome))
        if not found:
            self.sample(rng=np.random.default_rng(0))
        return found


def expressible(space: AnySpace, *, exporters: Sequence[Exporter]) -> ArchitectureSpace[Any]:
    """Return the space itself where nothing is demanded, else what of it can be exported in every format named."""
    if not exporters:
        return space
    wrapper = EnumerableExpressibleSpace if isinstance(space, EnumerableSpace) else ExpressibleSpace
    return wrapper(space, exporters=exporters)
