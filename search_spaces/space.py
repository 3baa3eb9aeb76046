"""What the search engine asks of a space, and what the latency table asks of a space of language models.

The engine knows only `SearchSpace`: it also optimises genomes that are no language models.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from search_spaces.architecture import Architecture
from search_spaces.specs import OperatorSpec

G = TypeVar("G", bound=Hashable)


@runtime_checkable
class SearchSpace(Protocol[G]):
    """Which genomes may be proposed, and how one becomes another."""

    def sample(self, *, rng: np.random.Generator) -> G:
        """Return a random genome of the space."""

    def mutate(self, genome: G, *, rng: np.random.Generator) -> tuple[G, str]:
        """Return a genome that differs in exactly one factor, and words that say which."""

    def crossover(self, first: G, second: G, *, rng: np.random.Generator) -> G:
        """Return a genome of the space made of parts of both."""

    def contains(self, genome: G) -> bool:
        """Whether the genome obeys every limit of the space."""

    def features(self, genome: G) -> NDArray[np.float64]:
        """Return numbers of fixed length for a surrogate model."""

    def to_dict(self, genome: G) -> dict[str, Any]:
        """Return a JSON-ready mapping of the genome."""

    def from_dict(self, mapping: Mapping[str, Any]) -> G:
        """Read what `to_dict` wrote."""

    def decode(self, genome: G) -> Any:
        """Return what the genome stands for; two genomes are the same candidate when its `fingerprint()` is."""


@runtime_checkable
class RepairingSpace(SearchSpace[G], Protocol[G]):
    """A space that can repair a genome against a cheap constraint."""

    def fit(self, genome: G, meets: Callable[[G], bool]) -> G | None:
        """Return the largest repaired genome that `meets` accepts, or none.

        The paper's "largest width within the latency budget" [NF C.1], without the space knowing what latency is.
        """


class SuggestingTrial(Protocol):
    """What of Optuna's `Trial` a space may ask; an Optuna trial is one."""

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """Return an integer from `low` to `high`, both included."""

    def suggest_float(self, name: str, low: float, high: float) -> float:
        """Return a number from `low` to `high`."""

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        """Return one of the choices, which have no order."""


@runtime_checkable
class SuggestingSpace(SearchSpace[G], Protocol[G]):
    """A space that names its parameters, for samplers that know parameters and no genomes."""

    def suggest(self, trial: SuggestingTrial) -> G:
        """Return the genome of the parameters a trial gives; one outside the space is drawn again.

        Best is to ask for the same parameters in every trial, those without effect included: Optuna's samplers cross
        only what all trials have.
        """


@runtime_checkable
class EnumerableSpace(SearchSpace[G], Protocol[G]):
    """A space so small that it lists its genomes."""

    def genomes(self) -> Sequence[G]:
        """Return every genome once, the cheapest to evaluate about first."""


@runtime_checkable
class ArchitectureSpace(SearchSpace[G], Protocol[G]):
    """A space whose genomes decode to language models."""

    @property
    def vocab_size(self) -> int:
        """Tokens of the vocabulary of every architecture the space itself makes."""

    @property
    def num_meta_tokens(self) -> int:
        """Meta tokens of every architecture the space itself makes."""

    def decode(self, genome: G) -> Architecture:
        """Return the target architecture."""

    def encode(self, architecture: Architecture) -> G | None:
        """Return the genome that decodes to an architecture, or none where the space holds none."""

    def distinct_operators(self) -> Iterable[tuple[int, OperatorSpec]]:
        """Return every distinct (hidden size, operator spec) that a genome can hold, each once."""
