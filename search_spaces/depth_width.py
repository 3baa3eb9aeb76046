"""The depth-width space: one block pattern, how often it repeats, and how wide it is [NF 2.1].

For scaling laws over depth and width; which operators a model has is not searched here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces.architecture import Architecture
from search_spaces.blocks import choose, suggested
from search_spaces.dimensions import Dimensions
from search_spaces.errors import SpecError
from search_spaces.features import architecture_features
from search_spaces.limits import check_buildable, checked_increasing
from search_spaces.pattern import parse_pattern
from search_spaces.space import SuggestingTrial
from search_spaces.specs import OperatorSpec
from search_spaces.strict import from_mapping


@dataclass(frozen=True, slots=True)
class DepthWidthGenome:
    """How many blocks, and how wide."""

    num_blocks: int
    hidden_size: int


@dataclass(frozen=True, kw_only=True)
class DepthWidthSpace:
    """A grid of depths and widths."""

    depths: tuple[int, ...]
    """Numbers of blocks."""

    hidden_sizes: tuple[int, ...]
    vocab_size: int
    block: str = "a f"
    """The pattern of one block."""

    num_meta_tokens: int = 0
    tie_embeddings: bool = True
    norm_eps: float = 1e-6
    """Added inside every norm; Nemotron-Flash's published code wants 1e-5."""

    dimensions: Dimensions = field(default_factory=Dimensions)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depths", checked_increasing("depths", self.depths))
        object.__setattr__(self, "hidden_sizes", checked_increasing("hidden_sizes", self.hidden_sizes))
        if not isinstance(self.block, str):
            raise SpecError(f"block must be a pattern such as 'a f'; got {self.block!r}.")
        check_buildable(
            parse_pattern(self.block),
            hidden_sizes=self.hidden_sizes,
            dimensions=self.dimensions,
            vocab_size=self.vocab_size,
            num_meta_tokens=self.num_meta_tokens,
            tie_embeddings=self.tie_embeddings,
            norm_eps=self.norm_eps,
        )

    def genomes(self) -> tuple[DepthWidthGenome, ...]:
        """Return the grid, small models first."""
        grid = [DepthWidthGenome(depth, width) for depth in self.depths for width in self.hidden_sizes]
        # Weights of a block grow with the width squared.
        return tuple(sorted(grid, key=lambda genome: (genome.num_blocks * genome.hidden_size**2, genome.num_blocks)))

    def sample(self, *, rng: np.random.Generator) -> DepthWidthGenome:
        """Return a depth and a width, each uniform."""
        return DepthWidthGenome(choose(self.depths, rng), choose(self.hidden_sizes, rng))

    def mutate(self, genome: DepthWidthGenome, *, rng: np.random.Generator) -> tuple[DepthWidthGenome, str]:
        """Return the genome at the next depth or width of the grid; in a grid of one point that point comes back."""
        moves = [
            *(
                (replace(genome, num_blocks=depth), f"depth {genome.num_blocks} → {depth} blocks")
                for depth in _neighbours(self.depths, genome.num_blocks)
            ),
            *(
                (replace(genome, hidden_size=width), f"width {genome.hidden_size} → {width}")
                for width in _neighbours(self.hidden_sizes, genome.hidden_size)
            ),
        ]
        return choose(moves, rng) if moves else (genome, "nothing to change")

    def crossover(
        self, first: DepthWidthGenome, second: DepthWidthGenome, *, rng: np.random.Generator
    ) -> DepthWidthGenome:
        """Return the depth of one parent at the width of the other."""
        deep, wide = (first, second) if rng.integers(2) else (second, first)
        return DepthWidthGenome(deep.num_blocks, wide.hidden_size)

    def suggest(self, trial: SuggestingTrial) -> DepthWidthGenome:
        """Return the genome of a depth and a width."""
        return DepthWidthGenome(
            suggested(self.depths, trial, name="depth"), suggested(self.hidden_sizes, trial, name="width")
        )

    def contains(self, genome: DepthWidthGenome) -> bool:
        """Whether the genome is a point of the grid."""
        return (
            isinstance(genome, DepthWidthGenome)
            and genome.num_blocks in self.depths
            and genome.hidden_size in self.hidden_sizes
        )

    def fit(self, genome: DepthWidthGenome, meets: Callable[[DepthWidthGenome], bool]) -> DepthWidthGenome | None:
        """Return the genome at the largest width that `meets` accepts, or none."""
        for hidden_size in reversed(self.hidden_sizes):
            candidate = replace(genome, hidden_size=hidden_size)
            if meets(candidate):
                return candidate
        return None

    def decode(self, genome: DepthWidthGenome) -> Architecture:
        """Return the target architecture."""
        block = self.dimensions.operators(parse_pattern(self.block), hidden_size=genome.hidden_size)
        return Architecture(
            hidden_size=genome.hidden_size,
            operators=block * genome.num_blocks,
            vocab_size=self.vocab_size,
            num_meta_tokens=self.num_meta_tokens,
            tie_embeddings=self.tie_embeddings,
            norm_eps=self.norm_eps,
        )

    def encode(self, architecture: Architecture) -> DepthWidthGenome | None:
        """Return the genome of the space that decodes to this architecture, or none."""
        num_blocks = architecture.depth // len(parse_pattern(self.block))
        genome = DepthWidthGenome(num_blocks, architecture.hidden_size)
        return genome if self.contains(genome) and self.decode(genome) == architecture else None

    def features(self, genome: DepthWidthGenome) -> NDArray[np.float64]:
        """Return the numbers named by `features.FEATURE_NAMES`."""
        return architecture_features(self.decode(genome))

    def to_dict(self, genome: DepthWidthGenome) -> dict[str, Any]:
        """Return a JSON-ready mapping of the genome."""
        return {"num_blocks": genome.num_blocks, "hidden_size": genome.hidden_size}

    def from_dict(self, mapping: Mapping[str, Any]) -> DepthWidthGenome:
        """Read what `to_dict` wrote.

        Raises:
            SpecError: an unknown or missing key, or a value that is no integer.
        """
        genome = from_mapping(DepthWidthGenome, mapping, where="A depth-width genome")
        if type(genome.num_blocks) is not int or type(genome.hidden_size) is not int:
            raise SpecError(f"A depth-width genome holds two integers; got {dict(mapping)}.")
        return genome

    def distinct_operators(self) -> tuple[tuple[int, OperatorSpec], ...]:
        """Return every (hidden size, operator) of the space, each once."""
        return tuple(
            (hidden_size, self.dimensions.operator(letter, hidden_size=hidden_size))
            for hidden_size in self.hidden_sizes
            for letter in dict.fromkeys(parse_pattern(self.block))
        )


def _neighbours(options: tuple[int, ...], value: int) -> tuple[int, ...]:
    here = options.index(value)
    return options[max(0, here - 1) : here] + options[here + 1 : here + 2]
