"""What probes tell apart: recall in a state of fixed size, and the lookup that pure Mamba2 fails and a hybrid passes.

Every model has the same width, depth, steps and batch, and is swept over the same learning rates; what counts is the
best mean over three seeds. Mamba2's state is small on purpose (4 a channel), alone and beside attention. The claims are
those of [arXiv 2312.04927] and [arXiv 2406.07887], in miniature.
"""

import sys
from dataclasses import dataclass, replace
from itertools import product
from statistics import fmean

import numpy as np

from benchmarks.document import Claim, Document, Figure, IncorrectError, Options, describe_device, main, versions
from proxies.probes.multi_query_recall import MultiQueryRecall
from proxies.probes.phonebook import Phonebook
from proxies.probes.probe import run_probe
from proxies.probes.task import IGNORED, ProbeTask
from proxies.settings import TrainingSettings
from search_spaces import Architecture, architecture_from_pattern
from search_spaces.dimensions import Dimensions

SEEDS = (0, 1, 2)
LEARNING_RATES = (3e-3, 1e-2)
WIDTH = 64
PURE = "m2 m2 m2 m2"
HYBRID = "m2 a m2 a"

RECALL = MultiQueryRecall(num_tokens=64, num_pairs=16, num_keys=64, num_values=64, power=1.0)
RECALL_SETTINGS = TrainingSettings(steps=400, batch_size=16, weight_decay=0.0, validation_sequences=128, device="cpu")

BOOK = Phonebook(num_entries=12, num_digits=3, num_given_names=8, num_family_names=8, num_questions=4)
BOOK_SETTINGS = TrainingSettings(steps=500, batch_size=16, weight_decay=0.0, validation_sequences=128, device="cpu")


@dataclass(frozen=True)
class Accuracies:
    """Of one model on one task, at the best learning rate."""

    learning_rate: float
    by_seed: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return fmean(self.by_seed)


def benchmark(_: Options) -> Document:
    """Train every model under every seed and learning rate."""
    _check_lookup()
    recall = {
        "2 of 4 layers attention": _best(_model(HYBRID), RECALL, RECALL_SETTINGS),
        "DeltaNet": _best(_model("d d d d"), RECALL, RECALL_SETTINGS),
        "Mamba2": _best(_model(PURE), RECALL, RECALL_SETTINGS),
    }
    book = {
        "2 of 4 layers attention": _best(_model(HYBRID), BOOK, BOOK_SETTINGS),
        "Mamba2": _best(_model(PURE), BOOK, BOOK_SETTINGS),
    }
    figures = {}
    for task, models in (("associative recall", recall), ("phonebook", book)):
        for name, found in models.items():
            subject = f"{task}, {name}"
            figures[f"{subject}: mean"] = Figure(value=found.mean, unit="")
            figures[f"{subject}: worst"] = Figure(value=min(found.by_seed), unit="")
            figures[f"{subject}: best"] = Figure(value=max(found.by_seed), unit="")
            figures[f"{subject}: rate"] = Figure(value=found.learning_rate, unit="")
    mamba = recall["Mamba2"]
    pure, hybrid = book["Mamba2"], book["2 of 4 layers attention"]
    claims = [
        Claim.at_least(
            f"associative recall: the worst seed of {name} is above the best of Mamba2 by",
            value=min(recall[name].by_seed) - max(mamba.by_seed),
            bound=0.2,
        )
        for name in ("2 of 4 layers attention", "DeltaNet")
    ]
    claims += [
        Claim.at_most("pure Mamba2 fails the phonebook under every seed", value=max(pure.by_seed), bound=0.6),
        Claim.at_least("the hybrid passes it under every seed", value=min(hybrid.by_seed), bound=0.9),
    ]
    return Document(
        benchmark="probes",
        device=describe_device("cpu", num_threads=1),
        versions=versions("torch", "numpy"),
        figures=figures,
        claims=claims,
    )


def _model(pattern: str) -> Architecture:
    dimensions = Dimensions(head_dim=32, mamba_head_dim=32, mamba_state_size=4)
    return architecture_from_pattern(pattern, hidden_size=WIDTH, vocab_size=RECALL.vocab_size, dimensions=dimensions)


def _best(architecture: Architecture, task: ProbeTask, settings: TrainingSettings) -> Accuracies:
    """Return the accuracies at the learning rate with the best mean; a run without a score counts as 0."""
    accuracies: dict[float, list[float]] = {rate: [] for rate in LEARNING_RATES}
    for rate, seed in product(LEARNING_RATES, SEEDS):
        result = run_probe(architecture, task, settings=replace(settings, learning_rate=rate), seed=seed)
        accuracies[rate].append(result.accuracy or 0.0)
        sys.stderr.write(
            f"{type(task).__name__} {architecture.pattern} rate {rate:g} seed {seed}: "
            f"{accuracies[rate][-1]:.3f} in {result.seconds:.0f} s\n"
        )
    best = max(accuracies, key=lambda rate: fmean(accuracies[rate]))
    return Accuracies(learning_rate=best, by_seed=tuple(accuracies[best]))


def _check_lookup() -> None:
    """Check that every answer stands behind its key in the sequence.

    Raises:
        IncorrectError: one does not.
    """
    questions = RECALL.sample(100, rng=np.random.default_rng(0))
    for tokens, labels in zip(questions.tokens, questions.labels, strict=True):
        context = tokens[: 2 * RECALL.num_pairs].tolist()
        pairs = dict(zip(context[0::2], context[1::2], strict=True))
        asked = np.flatnonzero(labels != IGNORED)
        if [pairs.get(int(tokens[place])) for place in asked] != labels[asked].tolist():
            raise IncorrectError("A question of associative recall is not answered by its own sequence.")


if __name__ == "__main__":
    sys.exit(main(benchmark, description=(__doc__ or "").splitlines()[0]))
