"""NK landscapes: spaces of genes whose ruggedness is a number, with a second objective that costs nothing.

Every gene contributes to the error by a random table over its own value and those of K other genes [Kauffman and
Weinberger 1989]: with K = 0 genes are independent; the larger K, the less the neighbours of a good genome say about it.
The price is a sum over genes, cheaper values first, and knows nothing of the error.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Genome = tuple[int, ...]

NUM_GENES: Final = 16
NUM_VALUES: Final = 4
_FAMILY: Final = 20251121
"""Sets these landscapes apart from others of the same numbers."""


class NKLandscape:
    """One landscape, as a search space and as its two objectives; both lie between 0 and 1 and are minimised."""

    def __init__(self, *, k: int, seed: int, num_genes: int = NUM_GENES, num_values: int = NUM_VALUES) -> None:
        rng = np.random.default_rng((_FAMILY, num_genes, num_values, k, seed))
        self.num_genes, self.num_values = num_genes, num_values
        genes = np.arange(num_genes)
        others = [rng.choice(np.delete(genes, gene), size=k, replace=False) for gene in genes]
        self._linked = np.array([[gene, *linked] for gene, linked in zip(genes, others, strict=True)])
        self._contributions = rng.random((num_genes, num_values ** (k + 1)))
        self._places = num_values ** np.arange(k + 1)
        self._prices = np.sort(rng.random((num_genes, num_values)), axis=1)

    def error(self, genome: Genome) -> float:
        """Return the expensive objective."""
        entries = (np.asarray(genome)[self._linked] * self._places).sum(1)
        return float(self._contributions[np.arange(self.num_genes), entries].mean())

    def price(self, genome: Genome) -> float:
        """Return the cheap one."""
        return float(self._prices[np.arange(self.num_genes), genome].mean())

    def sample(self, *, rng: np.random.Generator) -> Genome:
        """Return a random genome."""
        return tuple(int(value) for value in rng.integers(self.num_values, size=self.num_genes))

    def mutate(self, genome: Genome, *, rng: np.random.Generator) -> tuple[Genome, str]:
        """Return the genome with one gene changed."""
        gene = int(rng.integers(self.num_genes))
        value = (genome[gene] + int(rng.integers(1, self.num_values))) % self.num_values
        return (*genome[:gene], value, *genome[gene + 1 :]), f"gene {gene}: {genome[gene]} → {value}"

    def crossover(self, first: Genome, second: Genome, *, rng: np.random.Generator) -> Genome:
        """Return a genome with every gene of either."""
        takes_first = rng.random(self.num_genes) < 0.5
        return tuple(a if takes else b for a, b, takes in zip(first, second, takes_first, strict=True))

    def contains(self, genome: Genome) -> bool:
        """Whether every gene has one of its values."""
        return len(genome) == self.num_genes and all(0 <= value < self.num_values for value in genome)

    def features(self, genome: Genome) -> NDArray[np.float64]:
        """Return the genes; that they are codes and no quantities is for a model to find out."""
        return np.asarray(genome, dtype=np.float64)

    def to_dict(self, genome: Genome) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {"genes": list(genome)}

    def from_dict(self, mapping: Mapping[str, Any]) -> Genome:
        """Read what `to_dict` wrote."""
        return tuple(mapping["genes"])

    def decode(self, genome: Genome) -> Genome:
        """Return the genome: it stands for itself."""
        return genome

    def suggest(self, trial: Any) -> Genome:
        """Return a genome drawn by a sampler of Optuna, whose genes are categories."""
        values = list(range(self.num_values))
        return tuple(trial.suggest_categorical(f"gene_{gene}", values) for gene in range(self.num_genes))
