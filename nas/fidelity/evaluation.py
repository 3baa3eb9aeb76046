"""Trains a candidate of a run for another length, everything else the same; of no length it scores without training.

Travels to the workers, as the evaluation of a search does.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass, replace

from nas.candidates import Evaluated, Failed, Outcome
from nas.evaluation import ShortTrainingEvaluation
from nas.fidelity.training import AT_INITIALIZATION, Training
from proxies.memory import is_out_of_memory
from proxies.rungs import Rungs
from proxies.saliency import score_initialization
from proxies.settings import TrainingSettings
from proxies.short_training import ShortTraining
from search_spaces.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEvaluation:
    """Evaluates trainings; picklable."""

    short: ShortTrainingEvaluation
    """The run's own, without probes."""

    def __call__(self, training: Training, seed: int) -> Outcome:
        """Train and return the perplexity, or how it failed; the seed is the training's own."""
        del seed
        if training.times == AT_INITIALIZATION:
            return self._untrained(training)
        proxy = self.short.proxy
        longer = ShortTraining(corpus=proxy.corpus, settings=lengthened(proxy.settings, times=training.times))
        return replace(self.short, proxy=longer)(training.genome, training.seed)

    def _untrained(self, training: Training) -> Outcome:
        proxy = self.short.proxy
        architecture = self.short.proxy_architecture(training.genome)
        try:
            found = score_initialization(architecture, corpus=proxy.corpus, settings=proxy.settings, seed=training.seed)
        except (SpecError, NotImplementedError) as error:
            return Failed("unbuildable", str(error))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            # Recorded, and the other scores go on without it.
            return Failed("host_out_of_memory", f"One batch without training ran out of memory: {error}")
        return Evaluated(objectives={"perplexity": math.exp(found.loss)}, details={"scores": found.scores})


@dataclass(frozen=True, slots=True, kw_only=True)
class WithLongerTrainings:
    """Evaluates the candidates of a search, and the longer trainings beside them; picklable."""

    short: ShortTrainingEvaluation

    def __call__(self, genome: Hashable, seed: int, rungs: Rungs | None = None) -> Outcome:
        """Evaluate whichever of the two it is."""
        if isinstance(genome, Training):
            return TrainingEvaluation(short=replace(self.short, probes=None))(genome, seed)
        return self.short(genome, seed, rungs=rungs)


def lengthened(settings: TrainingSettings, *, times: float) -> TrainingSettings:
    """Return the settings of a training so many times as long, in steps and where it is bounded in arithmetic too.

    Validated once, at the end: looking at the model on the way changes nothing of it.
    """
    return replace(
        settings,
        steps=max(1, round(settings.steps * times)),
        flops=None if settings.flops is None else settings.flops * times,
        validation_every=None,
    )
