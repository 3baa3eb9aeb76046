"""How much a search trains, in full trainings of one candidate: less by halving, more by probes and longer trainings.

What of it nobody knows before, such as how many candidates halving stops, is an estimate and said to be one.
"""

from dataclasses import dataclass
from typing import Final

from nas.config import SearchConfig
from nas.halving import Halving
from proxies.budget import training_flops_per_token, within_budget
from proxies.scale import proxy_scale
from search_spaces import Architecture

GOING_ON: Final = 0.5
"""Share of the candidates seen at a rung that go on from it, as measured over small hybrids (`benchmarks.halving`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedWork:
    """Of a whole search; a unit is the full short training of a median candidate."""

    candidates: float
    """Short trainings, those that halving ends early counted as far as they get."""

    finished: float
    """Candidates that are trained to their end."""

    repeats: int
    probes: float
    longer: float
    num_longer: int
    """Candidates trained longer."""

    @property
    def total(self) -> float:
        """Everything."""
        return self.candidates + self.repeats + self.probes + self.longer


def expected_work(config: SearchConfig, typical: Architecture) -> ExpectedWork:
    """Return what a search will train, as far as its configuration tells.

    Args:
        config: of the search.
        typical: the model trained for a median candidate.
    """
    evaluations, repeats = config.budget.evaluations, config.budget.repeats
    candidates = finished = float(evaluations)
    if config.halving is not None:
        candidates, finished = _under_halving(config.halving, evaluations)
    num_longer, section = 0, config.proxy.fidelity
    if section is not None:
        num_longer = int(finished) // section.every * section.candidates
    return ExpectedWork(
        candidates=candidates,
        finished=finished,
        repeats=repeats,
        probes=(finished + repeats) * _probes_of(config, typical),
        longer=0.0 if section is None else num_longer * section.tokens_multiple,
        num_longer=num_longer,
    )


def _under_halving(halving: Halving, evaluations: int) -> tuple[float, float]:
    """Return the full trainings that candidates take, and how many of them reach their end."""
    going_on = max(GOING_ON, halving.keep)
    reached, spent, before = 1.0, 0.0, 0.0
    for share in (*halving.rungs, 1.0):
        spent += reached * (share - before)
        before = share
        if share < 1.0:
            reached *= going_on
    judged = max(0, evaluations - halving.min_seen) * (1 - halving.explore)
    alone = evaluations - judged
    return alone + judged * spent, alone + judged * reached


def _probes_of(config: SearchConfig, typical: Architecture) -> float:
    """Return the arithmetic of one candidate's probes, as a multiple of that of its short training."""
    if config.proxy.probes is None:
        return 0.0
    training = within_budget(config.proxy.training, typical)
    whole = training.total_tokens * training_flops_per_token(typical, sequence_tokens=training.sequence_tokens)
    probes = 0.0
    for probe in config.proxy.probes.suite().probes:
        task, settings = probe.task, probe.settings
        model = proxy_scale(typical, vocab_size=task.vocab_size)
        tokens = settings.steps * settings.batch_size * task.num_tokens
        probes += tokens * training_flops_per_token(model, sequence_tokens=task.num_tokens)
    return probes / whole
