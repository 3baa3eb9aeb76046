"""The staged space: up to a few stages, each repeating one block, under one width [NF 2.2, C.1].

Every limit is a parameter: with `RatioBlocks`, 30 operators and `width_is_gene=False` it is the paper's space, with
`FreeBlocks` a relaxed one that holds the published winners. It knows no latency: `fit` is told what a genome must meet.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces.architecture import Architecture
from search_spaces.blocks import BlockGrammar, Moves, choose, suggested
from search_spaces.dimensions import Dimensions
from search_spaces.encoding import stages_of
from search_spaces.errors import SpecError
from search_spaces.features import architecture_features
from search_spaces.genome import Block, Stage, StagedGenome
from search_spaces.limits import check_buildable, check_range, checked_increasing
from search_spaces.space import SuggestingTrial
from search_spaces.specs import OperatorSpec
from search_spaces.strict import from_mapping

Proposals = Iterator[tuple[StagedGenome, str]]
"""Genomes with one factor changed, not yet repaired, each with words that say which."""

MAX_DRAWS = 100_000
"""A sample that meets no limit after so many draws means limits that almost nothing meets."""


@dataclass(frozen=True, kw_only=True)
class StagedSpace:
    """Genomes of stages and a width; mutation changes one factor [NF C.2, Algorithm 1]."""

    blocks: BlockGrammar
    hidden_sizes: tuple[int, ...]
    vocab_size: int
    num_stages: int = 3
    """At most so many stages."""

    min_operators: int = 1
    max_operators: int = 30
    max_repeats: int = 8
    """Repeats of one stage."""

    num_meta_tokens: int = 0
    tie_embeddings: bool = True
    norm_eps: float = 1e-6
    """Added inside every norm; Nemotron-Flash's published code wants 1e-5."""

    dimensions: Dimensions = field(default_factory=Dimensions)
    width_is_gene: bool = True
    """Whether the width is drawn and mutated as a fifth factor; else samples are as wide as can be and only `fit`
    changes the width, as in the paper."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden_sizes", checked_increasing("hidden_sizes", self.hidden_sizes))
        check_range(min_operators=self.min_operators, max_operators=self.max_operators)
        if not isinstance(self.width_is_gene, bool):
            raise SpecError(f"width_is_gene must be true or false; got {self.width_is_gene!r}.")
        for name in ("num_stages", "max_repeats"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise SpecError(f"{name} must be a positive integer; got {getattr(self, name)!r}.")
        check_buildable(
            self._letters,
            hidden_sizes=self.hidden_sizes,
            dimensions=self.dimensions,
            vocab_size=self.vocab_size,
            num_meta_tokens=self.num_meta_tokens,
            tie_embeddings=self.tie_embeddings,
            norm_eps=self.norm_eps,
        )
        depths = self._reachable_depths()
        if not any(self.min_operators <= depth <= self.max_operators for depth in depths):
            raise SpecError(
                f"The limits allow no genome: blocks of {sorted(self.blocks.sizes)} operators in up to "
                f"{self.num_stages} stages of up to {self.max_repeats} repeats reach {min(depths)} to {max(depths)} "
                f"operators; got min_operators {self.min_operators} and max_operators {self.max_operators}. Widen them."
            )

    def sample(self, *, rng: np.random.Generator) -> StagedGenome:
        """Return a random genome: number of stages, blocks, a depth, then repeats dealt out until it is reached.

        Raises:
            SpecError: the limits are so narrow that no draw met them.
        """
        hidden_size = choose(self.hidden_sizes, rng) if self.width_is_gene else self.hidden_sizes[-1]
        for _ in range(MAX_DRAWS):
            blocks = [self.blocks.sample(rng=rng) for _ in range(int(rng.integers(1, self.num_stages + 1)))]
            depth = int(rng.integers(self.min_operators, self.max_operators + 1))
            stages = self._dealt(blocks, depth, lambda open_stages, _: choose(open_stages, rng))
            if self.min_operators <= sum(stage.size for stage in stages) <= self.max_operators:
                return StagedGenome(hidden_size, stages)
        raise SpecError(
            f"No genome met the limits in {MAX_DRAWS} draws; got min_operators {self.min_operators} and max_operators "
            f"{self.max_operators}. Widen them."
        )

    def mutate(self, genome: StagedGenome, *, rng: np.random.Generator) -> tuple[StagedGenome, str]:
        """Return a genome that differs in exactly one factor and decodes differently, and words that say which.

        The factors are one operator of one block, its operator ratio, its FFN ratio, the block counts over the stages,
        and the width where it is a gene. A genome that became too long loses repeats, which is part of the same
        mutation. In a space of one genome that genome comes back.
        """
        factors: tuple[Callable[[StagedGenome, np.random.Generator], Proposals], ...] = (
            partial(self._block_moves, self.blocks.operator_moves),
            partial(self._block_moves, self.blocks.ratio_moves),
            partial(self._block_moves, self.blocks.ffn_moves),
            self._count_moves,
            *((self._width_moves,) if self.width_is_gene else ()),
        )
        before = (genome.hidden_size, genome.letters)
        for factor in rng.permutation(len(factors)):
            for child, words in factors[factor](genome, rng):
                stages = self._repaired(child.stages)
                if stages is None:
                    continue
                repaired = replace(child, stages=stages)
                if (repaired.hidden_size, repaired.letters) != before:
                    if stages != child.stages:
                        words = f"{words}, repeats {_listed(child.repeats)} → {_listed(repaired.repeats)}"
                    return repaired, words
        return genome, "nothing to change"

    def crossover(self, first: StagedGenome, second: StagedGenome, *, rng: np.random.Generator) -> StagedGenome:
        """Return a genome whose every stage, number of stages and width come from one of the parents, repaired.

        Children equal to a parent are avoided where another one exists.
        """
        hidden_size = choose((first.hidden_size, second.hidden_size), rng)
        length = len(choose((first, second), rng).stages)
        options = [
            [parent.stages[index] for parent in (first, second) if index < len(parent.stages)]
            for index in range(length)
        ]
        combinations = list(product(*options))
        fallback = choose((first, second), rng)
        for index in rng.permutation(len(combinations)):
            stages = self._repaired(combinations[index])
            if stages is not None:
                child = StagedGenome(hidden_size, stages)
                if child not in (first, second):
                    return child
        return fallback

    def suggest(self, trial: SuggestingTrial) -> StagedGenome:
        """Return a genome of a width, a depth, and for every stage a block and its share of the repeats.

        The depth may come out below the one given, as in `sample`, and so below the least.
        """
        hidden_size = suggested(self.hidden_sizes, trial, name="width") if self.width_is_gene else self.hidden_sizes[-1]
        depth = trial.suggest_int("depth", self.min_operators, self.max_operators)
        num_stages = trial.suggest_int("stages", 1, self.num_stages)
        names = [f"stage {number}" for number in range(1, self.num_stages + 1)]
        blocks = [self.blocks.suggest(trial, name=name) for name in names][:num_stages]
        shares = [trial.suggest_int(f"{name} share", 1, self.max_repeats) for name in names]
        while len(blocks) > 1 and sum(block.size for block in blocks) > self.max_operators:
            blocks.pop()

        def fewest_for_its_share(open_stages: list[int], repeats: list[int]) -> int:
            return min(open_stages, key=lambda index: repeats[index] / shares[index])

        return StagedGenome(hidden_size, self._dealt(blocks, depth, fewest_for_its_share))

    def contains(self, genome: StagedGenome) -> bool:
        """Whether the genome obeys every limit."""
        return (
            isinstance(genome, StagedGenome)
            and genome.hidden_size in self.hidden_sizes
            and len(genome.stages) <= self.num_stages
            and all(stage.repeats <= self.max_repeats for stage in genome.stages)
            and self.min_operators <= genome.depth <= self.max_operators
            and all(self.blocks.contains(stage.block) for stage in genome.stages)
        )

    def fit(self, genome: StagedGenome, meets: Callable[[StagedGenome], bool]) -> StagedGenome | None:
        """Return the genome at the largest width that `meets` accepts, or none [NF C.1]."""
        for hidden_size in reversed(self.hidden_sizes):
            candidate = replace(genome, hidden_size=hidden_size)
            if meets(candidate):
                return candidate
        return None

    def decode(self, genome: StagedGenome) -> Architecture:
        """Return the target architecture."""
        return Architecture(
            hidden_size=genome.hidden_size,
            operators=self.dimensions.operators(genome.letters, hidden_size=genome.hidden_size),
            vocab_size=self.vocab_size,
            num_meta_tokens=self.num_meta_tokens,
            tie_embeddings=self.tie_embeddings,
            norm_eps=self.norm_eps,
        )

    def encode(self, architecture: Architecture) -> StagedGenome | None:
        """Return a genome of the space that decodes to this architecture, or none."""
        stages = stages_of(
            architecture.letters, blocks=self.blocks, num_stages=self.num_stages, max_repeats=self.max_repeats
        )
        if stages is None or architecture.hidden_size not in self.hidden_sizes:
            return None
        genome = StagedGenome(architecture.hidden_size, stages)
        return genome if self.contains(genome) and self.decode(genome) == architecture else None

    def features(self, genome: StagedGenome) -> NDArray[np.float64]:
        """Return the numbers named by `features.FEATURE_NAMES`."""
        return architecture_features(self.decode(genome))

    def to_dict(self, genome: StagedGenome) -> dict[str, Any]:
        """Return a JSON-ready mapping of the genome."""
        return {"hidden_size": genome.hidden_size, "stages": genome.pattern}

    def from_dict(self, mapping: Mapping[str, Any]) -> StagedGenome:
        """Read what `to_dict` wrote.

        Raises:
            SpecError: an unknown or missing key, or stages that are not in pattern notation.
        """
        written = from_mapping(_Written, mapping, where="A staged genome")
        if type(written.hidden_size) is not int or not isinstance(written.stages, str):
            raise SpecError(f"A staged genome needs an integer hidden_size and stages as text; got {dict(mapping)}.")
        return StagedGenome.from_pattern(written.stages, hidden_size=written.hidden_size)

    def distinct_operators(self) -> tuple[tuple[int, OperatorSpec], ...]:
        """Return every (hidden size, operator) of the space, each once."""
        return tuple(
            (hidden_size, self.dimensions.operator(letter, hidden_size=hidden_size))
            for hidden_size in self.hidden_sizes
            for letter in self._letters
        )

    @property
    def _letters(self) -> tuple[str, ...]:
        has_ffn = any(self.blocks.ffns_per_mixer)
        return (*self.blocks.mixers, "f") if has_ffn else self.blocks.mixers

    def _reachable_depths(self) -> set[int]:
        stage = {size * repeats for size in self.blocks.sizes for repeats in range(1, self.max_repeats + 1)}
        reachable = depths = set(stage)
        for _ in range(self.num_stages - 1):
            depths = {depth + more for depth in depths for more in stage if depth + more <= self.max_operators}
            reachable = reachable | depths
        return reachable

    def _dealt(self, blocks: list[Block], depth: int, pick: Callable[[list[int], list[int]], int]) -> tuple[Stage, ...]:
        """Return stages of these blocks with as many repeats as `depth` allows.

        Each goes to the stage that `pick` chooses of those with room, given the repeats so far.
        """
        sizes = [block.size for block in blocks]
        repeats = [1] * len(blocks)
        room = depth - sum(sizes)
        while open_stages := [
            index for index, size in enumerate(sizes) if size <= room and repeats[index] < self.max_repeats
        ]:
            index = pick(open_stages, repeats)
            repeats[index] += 1
            room -= sizes[index]
        return tuple(map(Stage, blocks, repeats))

    def _repaired(self, stages: tuple[Stage, ...]) -> tuple[Stage, ...] | None:
        """Return stages within the limits, or none where taking repeats away cannot lead there.

        The last stage loses repeats first, down to one, then the one before it [NF C.1].
        """
        repeats = [min(stage.repeats, self.max_repeats) for stage in stages]
        sizes = [stage.block.size for stage in stages]
        excess = sum(size * count for size, count in zip(sizes, repeats, strict=True)) - self.max_operators
        for index in range(len(stages) - 1, -1, -1):
            if excess <= 0:
                break
            lost = min(repeats[index] - 1, -(-excess // sizes[index]))
            repeats[index] -= lost
            excess -= lost * sizes[index]
        if excess > 0 or self.max_operators + excess < self.min_operators:
            return None
        return tuple(Stage(stage.block, count) for stage, count in zip(stages, repeats, strict=True))

    def _block_moves(
        self, moves_of: Callable[[Block], Moves], genome: StagedGenome, rng: np.random.Generator
    ) -> Proposals:
        for index in rng.permutation(len(genome.stages)):
            stage = genome.stages[index]
            moves = moves_of(stage.block)
            for move in rng.permutation(len(moves)):
                block, words = moves[move]
                stages = (*genome.stages[:index], Stage(block, stage.repeats), *genome.stages[index + 1 :])
                yield replace(genome, stages=stages), f"stage {index + 1}: {words}"

    def _count_moves(self, genome: StagedGenome, rng: np.random.Generator) -> Proposals:
        """Yield genomes with one repeat more, less, or moved; a stage may vanish or be continued in a new one."""
        before = genome.repeats
        counts = range(len(before))
        changes = [
            *((index, None) for index in counts),
            *((None, index) for index in counts),
            *((left, right) for left in counts for right in counts if left != right),
        ]
        options: list[tuple[tuple[Stage, ...], str]] = []
        for loser, winner in changes:
            after = [count - (index == loser) + (index == winner) for index, count in enumerate(before)]
            stages = tuple(Stage(genome.stages[index].block, after[index]) for index in counts if after[index])
            if stages and max(after) <= self.max_repeats:
                options.append((stages, f"repeats {_listed(before)} → {_listed(after)}"))
        if len(before) < self.num_stages:
            for index in counts:
                copied = Stage(genome.stages[index].block, 1)
                stages = (*genome.stages[: index + 1], copied, *genome.stages[index + 1 :])
                after = [stage.repeats for stage in stages]
                options.append((stages, f"repeats {_listed(before)} → {_listed(after)}, stage {index + 1} continued"))
        for option in rng.permutation(len(options)):
            stages, words = options[option]
            yield replace(genome, stages=stages), words

    def _width_moves(self, genome: StagedGenome, rng: np.random.Generator) -> Proposals:
        here = self.hidden_sizes.index(genome.hidden_size)
        nearby = [index for index in (here - 1, here + 1) if 0 <= index < len(self.hidden_sizes)]
        for index in rng.permutation(nearby):
            width = self.hidden_sizes[index]
            yield replace(genome, hidden_size=width), f"width {genome.hidden_size} → {width}"


@dataclass(frozen=True)
class _Written:
    hidden_size: int
    stages: str


def _listed(repeats: tuple[int, ...] | list[int]) -> str:
    return ",".join(map(str, repeats))
