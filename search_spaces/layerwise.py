"""The layerwise space: any operator at any position; the genome is the architecture itself.

An operator is one of default dimensions at the width, or a member of a menu of others. Vocabulary, meta tokens, head
and norm epsilon are not searched: an architecture brings its own and keeps them, so `contains` does not look at them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces.architecture import Architecture
from search_spaces.blocks import choose, suggested
from search_spaces.dimensions import Dimensions
from search_spaces.edits import Edit, Kept, apply_edit, drop_broken_links
from search_spaces.errors import SpecError
from search_spaces.features import architecture_features
from search_spaces.limits import check_buildable, check_range, checked_increasing
from search_spaces.pattern import is_letter, near_letter, word_for
from search_spaces.space import SuggestingTrial
from search_spaces.specs import OperatorSpec, is_mixer, kv_source, with_kv_source

Moves = Iterator[tuple[Architecture, str]]


MAX_WORDS = 3
"""Fields named in the words of a mutation."""


@dataclass(frozen=True, kw_only=True)
class LayerwiseSpace:
    """Sequences of operators, of which at least one mixes tokens."""

    hidden_sizes: tuple[int, ...]
    vocab_size: int
    letters: tuple[str, ...] = ()
    """Operators offered in default dimensions, which follow the width."""

    menu: tuple[OperatorSpec, ...] = ()
    """Operators offered as they are at every width."""

    min_operators: int = 1
    max_operators: int = 36
    num_meta_tokens: int = 0
    tie_embeddings: bool = True
    norm_eps: float = 1e-6
    """Added inside every norm; Nemotron-Flash's published code wants 1e-5."""

    dimensions: Dimensions = field(default_factory=Dimensions)
    width_is_gene: bool = True
    """Whether the width is drawn and mutated; else samples are as wide as can be and only `fit` changes the width."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden_sizes", checked_increasing("hidden_sizes", self.hidden_sizes))
        check_range(min_operators=self.min_operators, max_operators=self.max_operators)
        if not isinstance(self.width_is_gene, bool):
            raise SpecError(f"width_is_gene must be true or false; got {self.width_is_gene!r}.")
        if not isinstance(self.letters, list | tuple):
            raise SpecError(f"letters must be a list such as [a, m2, f]; got {self.letters!r}.")
        for letter in self.letters:
            if not isinstance(letter, str) or not is_letter(letter):
                raise SpecError(f"letters has the unknown letter {letter!r}.{near_letter(str(letter))}")
        for spec in self.menu:
            if kv_source(spec) is not None:
                raise SpecError(
                    f"A menu operator must make its own keys and values; got shares_kv_with={kv_source(spec)}. "
                    "Leave shares_kv_with out."
                )
        object.__setattr__(self, "letters", tuple(dict.fromkeys(self.letters)))
        object.__setattr__(self, "menu", tuple(dict.fromkeys(self.menu)))
        if set(self.letters) <= {"f"} and not any(map(is_mixer, self.menu)):
            raise SpecError(
                f"A layerwise space needs a token mixer; got letters {list(self.letters)} and a menu of "
                f"{len(self.menu)} FFNs. Add a letter such as 'a' or 'm2'."
            )
        check_buildable(
            self.letters,
            menu=self.menu,
            hidden_sizes=self.hidden_sizes,
            dimensions=self.dimensions,
            vocab_size=self.vocab_size,
            num_meta_tokens=self.num_meta_tokens,
            tie_embeddings=self.tie_embeddings,
            norm_eps=self.norm_eps,
        )

    def sample(self, *, rng: np.random.Generator) -> Architecture:
        """Return a random architecture: depth uniform; FFN or mixer with equal chance, then letter, then dimensions."""
        hidden_size = choose(self.hidden_sizes, rng) if self.width_is_gene else self.hidden_sizes[-1]
        depth = int(rng.integers(self.min_operators, self.max_operators + 1))
        operators = [next(self._shuffled_options(hidden_size, rng)) for _ in range(depth)]
        if not any(map(is_mixer, operators)):
            mixers = filter(is_mixer, self._shuffled_options(hidden_size, rng))
            operators[int(rng.integers(depth))] = next(mixers)
        return Architecture(
            hidden_size=hidden_size,
            operators=tuple(operators),
            vocab_size=self.vocab_size,
            num_meta_tokens=self.num_meta_tokens,
            tie_embeddings=self.tie_embeddings,
            norm_eps=self.norm_eps,
        )

    def mutate(self, genome: Architecture, *, rng: np.random.Generator) -> tuple[Architecture, str]:
        """Return a genome with one operator replaced, inserted, removed or two swapped, or with the next width.

        In a space of one genome that genome comes back.
        """
        kinds: tuple[Callable[[Architecture, np.random.Generator], Moves], ...] = (
            self._replacements,
            self._insertions,
            self._removals,
            self._swaps,
            *((self._width_moves,) if self.width_is_gene else ()),
        )
        for kind in rng.permutation(len(kinds)):
            for child, words in kinds[kind](genome, rng):
                if child != genome and any(map(is_mixer, child.operators)):
                    return child, words
        return genome, "nothing to change"

    def crossover(self, first: Architecture, second: Architecture, *, rng: np.random.Generator) -> Architecture:
        """Return the early operators of one parent and the late ones of the other, cut at one share of the depth.

        Width, vocabulary, meta tokens and head are the first parent's.
        """
        follower = self._at_width(second, first.hidden_size)
        early, late = (first, follower) if rng.integers(2) else (follower, first)
        share = float(rng.random())
        # Half-up rounding keeps the new depth between those of the parents; round() would not.
        end, start = (floor(share * parent.depth + 0.5) for parent in (early, late))
        head = apply_edit(early.operators, [Kept(index) for index in range(end)])
        tail = apply_edit(late.operators, [Kept(index) for index in range(start, late.depth)])
        shifted = tuple(
            spec if (source := kv_source(spec)) is None else with_kv_source(spec, source + end) for spec in tail
        )
        operators = head + shifted
        return replace(first, operators=operators) if any(map(is_mixer, operators)) else first

    def suggest(self, trial: SuggestingTrial) -> Architecture:
        """Return a genome of a width, a depth and an operator for every place; those beyond the depth are left.

        An operator is a letter or a place in the menu. One of FFNs alone may come of it, which lies outside the space.
        """
        hidden_size = suggested(self.hidden_sizes, trial, name="width") if self.width_is_gene else self.hidden_sizes[-1]
        depth = trial.suggest_int("depth", self.min_operators, self.max_operators)
        offered = {letter: self.dimensions.operator(letter, hidden_size=hidden_size) for letter in self.letters}
        offered |= {f"menu {place}": spec for place, spec in enumerate(self.menu)}
        places = range(1, self.max_operators + 1)
        operators = [offered[trial.suggest_categorical(f"operator {place}", list(offered))] for place in places]
        return Architecture(
            hidden_size=hidden_size,
            operators=tuple(operators[:depth]),
            vocab_size=self.vocab_size,
            num_meta_tokens=self.num_meta_tokens,
            tie_embeddings=self.tie_embeddings,
            norm_eps=self.norm_eps,
        )

    def contains(self, genome: Architecture) -> bool:
        """Whether width, depth and every operator (links aside) are on offer and one operator mixes tokens."""
        return (
            isinstance(genome, Architecture)
            and genome.hidden_size in self.hidden_sizes
            and self.min_operators <= genome.depth <= self.max_operators
            and any(map(is_mixer, genome.operators))
            and all(with_kv_source(spec, None) in self._offered[genome.hidden_size] for spec in set(genome.operators))
        )

    def fit(self, genome: Architecture, meets: Callable[[Architecture], bool]) -> Architecture | None:
        """Return the genome at the largest width that `meets` accepts, or none."""
        for hidden_size in reversed(self.hidden_sizes):
            candidate = self._at_width(genome, hidden_size)
            if meets(candidate):
                return candidate
        return None

    def decode(self, genome: Architecture) -> Architecture:
        """Return the genome: it is the architecture."""
        return genome

    def encode(self, architecture: Architecture) -> Architecture | None:
        """Return the architecture where it lies in the space, or none."""
        return architecture if self.contains(architecture) else None

    def features(self, genome: Architecture) -> NDArray[np.float64]:
        """Return the numbers named by `features.FEATURE_NAMES`."""
        return architecture_features(genome)

    def to_dict(self, genome: Architecture) -> dict[str, Any]:
        """Return a JSON-ready mapping of the genome."""
        return genome.to_dict()

    def from_dict(self, mapping: Mapping[str, Any]) -> Architecture:
        """Read what `to_dict` wrote.

        Raises:
            SpecError: as `Architecture.from_dict`.
        """
        return Architecture.from_dict(mapping)

    def distinct_operators(self) -> tuple[tuple[int, OperatorSpec], ...]:
        """Return every (hidden size, operator) of the space, each once."""
        return tuple((hidden_size, spec) for hidden_size, offered in self._offered.items() for spec in offered)

    @cached_property
    def _defaults(self) -> dict[int, dict[OperatorSpec, str]]:
        """The operators of default dimensions at each width, and their letters."""
        return {
            hidden_size: {self.dimensions.operator(letter, hidden_size=hidden_size): letter for letter in self.letters}
            for hidden_size in self.hidden_sizes
        }

    @cached_property
    def _offered(self) -> dict[int, dict[OperatorSpec, None]]:
        """The operators on offer at each width, in a fixed order."""
        return {hidden_size: dict.fromkeys((*defaults, *self.menu)) for hidden_size, defaults in self._defaults.items()}

    @cached_property
    def _by_letter(self) -> dict[int, dict[str, list[OperatorSpec]]]:
        result: dict[int, dict[str, list[OperatorSpec]]] = {}
        for hidden_size, offered in self._offered.items():
            groups = result.setdefault(hidden_size, {})
            for spec in offered:
                groups.setdefault(spec.letter, []).append(spec)
        return result

    def _shuffled_options(self, hidden_size: int, rng: np.random.Generator) -> Iterator[OperatorSpec]:
        """Yield every operator on offer: as often an FFN first as a mixer, and every letter alike."""
        groups = self._by_letter[hidden_size]
        letters = [letter for letter in groups if letter != "f"]
        letters = [letters[index] for index in rng.permutation(len(letters))]
        if "f" in groups:
            letters.insert(0 if rng.integers(2) else len(letters), "f")
        for letter in letters:
            for index in rng.permutation(len(groups[letter])):
                yield groups[letter][index]

    def _at_width(self, genome: Architecture, hidden_size: int) -> Architecture:
        if hidden_size == genome.hidden_size:
            return genome
        defaults = self._defaults[genome.hidden_size]
        operators = []
        for spec in genome.operators:
            letter = defaults.get(with_kv_source(spec, None))
            if letter is not None:
                followed = self.dimensions.operator(letter, hidden_size=hidden_size)
                operators.append(with_kv_source(followed, kv_source(spec)))
            else:
                operators.append(spec)
        return replace(genome, hidden_size=hidden_size, operators=drop_broken_links(operators))

    def _replacements(self, genome: Architecture, rng: np.random.Generator) -> Moves:
        for index in rng.permutation(genome.depth):
            old = with_kv_source(genome.operators[index], None)
            for new in self._shuffled_options(genome.hidden_size, rng):
                if new != old:
                    edit = _kept(genome)
                    edit[index] = new
                    yield _edited(genome, edit), f"operators[{index}]: {_change(old, new)}"

    def _insertions(self, genome: Architecture, rng: np.random.Generator) -> Moves:
        if genome.depth < self.max_operators:
            for index in rng.permutation(genome.depth + 1):
                for new in self._shuffled_options(genome.hidden_size, rng):
                    edit = _kept(genome)
                    edit.insert(index, new)
                    yield _edited(genome, edit), f"operators[{index}]: insert {word_for(new.letter)}"

    def _removals(self, genome: Architecture, rng: np.random.Generator) -> Moves:
        if genome.depth > self.min_operators and genome.depth > 1:
            for index in rng.permutation(genome.depth):
                edit = _kept(genome)
                del edit[index]
                yield (
                    _edited(genome, edit),
                    f"operators[{index}]: remove {word_for(genome.operators[index].letter)}",
                )

    def _swaps(self, genome: Architecture, rng: np.random.Generator) -> Moves:
        for left in rng.permutation(genome.depth):
            for right in rng.permutation(genome.depth):
                first, second = genome.operators[left], genome.operators[right]
                if left < right and with_kv_source(first, None) != with_kv_source(second, None):
                    edit = _kept(genome)
                    edit[left], edit[right] = edit[right], edit[left]
                    words = f"swap {word_for(first.letter)} and {word_for(second.letter)}"
                    yield _edited(genome, edit), f"operators[{left}] and [{right}]: {words}"

    def _width_moves(self, genome: Architecture, rng: np.random.Generator) -> Moves:
        here = self.hidden_sizes.index(genome.hidden_size)
        nearby = [index for index in (here - 1, here + 1) if 0 <= index < len(self.hidden_sizes)]
        for index in rng.permutation(nearby):
            width = self.hidden_sizes[index]
            yield self._at_width(genome, width), f"width {genome.hidden_size} → {width}"


def _kept(genome: Architecture) -> list[Edit]:
    return [Kept(index) for index in range(genome.depth)]


def _edited(genome: Architecture, edit: list[Edit]) -> Architecture:
    return replace(genome, operators=apply_edit(genome.operators, edit))


def _change(old: OperatorSpec, new: OperatorSpec) -> str:
    """Return `mamba2 → deltanet`, or within one kind the first fields that change."""
    if old.letter != new.letter:
        return f"{word_for(old.letter)} → {word_for(new.letter)}"
    changed = [item.name for item in fields(old) if getattr(old, item.name) != getattr(new, item.name)]
    if old.letter == "hh":
        return "hybrid head of other dimensions"
    differences = [f"{name} {_shown(getattr(old, name))} → {_shown(getattr(new, name))}" for name in changed]
    if len(differences) > MAX_WORDS:
        differences = [*differences[:MAX_WORDS], f"{len(differences) - MAX_WORDS} more"]
    return f"{word_for(old.letter)} {', '.join(differences)}"


def _shown(value: object) -> str:
    return "none" if value is None else str(value)
