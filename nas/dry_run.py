"""What a search would cost, said before anything is spent: candidates, tokens, hours, latency rows to measure.

Hours come from a few training steps of a typical candidate where its device is at hand, else from arithmetic and a
stated share of the device's peak.
"""

from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import numpy as np

from latency.plan import missing
from nas.config import SearchConfig
from nas.search import Prepared, prepare
from proxies.budget import training_flops_per_token, within_budget
from proxies.scale import proxy_scale
from search_spaces import Architecture

SAMPLES: Final = 32
"""Random candidates whose median stands for all."""

PEAK_TFLOPS: Final = {
    "A100": 312.0,
    "A10G": 70.0,
    "B200": 2250.0,
    "H100": 989.0,
    "H200": 989.0,
    "L4": 121.0,
    "L40S": 362.0,
}
"""Dense bfloat16 matrix products by Ray's name of the accelerator, as the vendor states them."""

UTILISATION: Final = 0.3
"""Share of the peak that short training of small models is taken to reach where it could not be timed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTime:
    """How long one candidate trains."""

    seconds: float | None
    """Of a median candidate; none where nothing tells."""

    basis: str
    """Where the figure comes from, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """The cost of a search."""

    config: SearchConfig
    training_flops: float
    """Of a median candidate, forward and backward."""

    time: TrainingTime
    corpus_words: str
    num_rows: int
    num_missing_rows: int

    @property
    def num_trainings(self) -> int:
        """Candidates and repeats; what the frontier's repeats will be, nobody knows before."""
        return self.config.budget.evaluations + self.config.budget.repeats

    def __str__(self) -> str:
        config, budget, training = self.config, self.config.budget, self.config.proxy.training
        resources = config.resources
        each, most = training.total_tokens, "at most " if training.flops else ""
        lines = [
            f"{config.name}: {budget.evaluations} candidates and {budget.repeats} repeats by {config.strategy.name}",
            f"training    {most}{each:,} tokens each, {self.num_trainings * each:,} in all; "
            f"{self.training_flops:.3g} FLOP for a median candidate",
            f"hours       {self._hours()}",
            f"text        {self.corpus_words}",
            f"latency     {self.num_rows} rows needed, {self.num_missing_rows} to be measured on "
            f"{config.latency.device} ({config.latency.workload.describe()})",
            f"resources   {resources.cpus_per_candidate:g} CPU and {resources.gpus_per_candidate:g} GPU a candidate, "
            f"executor {resources.executor}",
        ]
        if budget.frontier_repeats:
            besides = f"each candidate that gets onto the frontier is trained {budget.frontier_repeats} times more"
            lines.insert(3, f"besides     {besides}")
        if config.proxy.probes is not None:
            lines.insert(3, "besides     each candidate is trained on its probes, which is not counted here")
        return "\n".join(lines)

    def _hours(self) -> str:
        if self.time.seconds is None:
            return f"unknown: {self.time.basis}"
        resources = self.config.resources
        hours = self.time.seconds / 3600
        held = resources.gpus_per_candidate or resources.cpus_per_candidate
        return (
            f"{self.num_trainings * hours * held:,.4g} {'GPU' if resources.gpus_per_candidate else 'CPU core'}-hours "
            f"in all, {hours:.3g} h for a median candidate ({self.time.basis})"
        )


def dry_run(config: SearchConfig) -> DryRun:
    """Return what a search would cost; writes nothing.

    Raises:
        NasError: anything `nas.search.prepare` refuses.
    """
    prepared = prepare(config)
    architectures = _samples(prepared)
    flops = [_training_flops(architecture, config) for architecture in architectures]
    typical = architectures[int(np.argsort(flops)[len(flops) // 2])]
    corpus = prepared.corpus
    return DryRun(
        config=config,
        training_flops=median(flops),
        time=_training_time(typical, prepared),
        corpus_words=f"{corpus.train.num_tokens:,} training and {corpus.validation.num_tokens:,} validation tokens of "
        f"{config.proxy.corpus}",
        num_rows=len(prepared.rows),
        num_missing_rows=len(missing(prepared.rows, prepared.given_table)),
    )


def _samples(prepared: Prepared) -> list[Architecture]:
    space: Any = prepared.space
    vocab_size = prepared.corpus.tokenizer.vocab_size
    rng = np.random.default_rng(prepared.config.seed)
    fraction = prepared.config.proxy.width_fraction
    targets = [space.decode(space.sample(rng=rng)) for _ in range(SAMPLES)]
    return [proxy_scale(target, vocab_size=vocab_size, width_fraction=fraction) for target in targets]


def _training_flops(architecture: Architecture, config: SearchConfig) -> float:
    training = within_budget(config.proxy.training, architecture)
    return training.total_tokens * training_flops_per_token(architecture, sequence_tokens=training.sequence_tokens)


def _training_time(typical: Architecture, prepared: Prepared) -> TrainingTime:
    config = prepared.config
    training, gpus = config.proxy.training, config.resources.gpus_per_candidate
    from proxies.placement import resolve_device
    from proxies.step_time import seconds_per_step

    is_gpu_here = resolve_device("auto").type == "cuda"
    if not gpus or is_gpu_here:
        step = seconds_per_step(typical, corpus=prepared.corpus, settings=training)
        if step is not None:
            steps = within_budget(training, typical).steps
            return TrainingTime(seconds=step * steps, basis="a few of its steps were timed here")
    accelerator = config.latency.accelerator
    if accelerator not in PEAK_TFLOPS:
        return TrainingTime(
            seconds=None,
            basis="the candidates' GPU is not at hand; set latency.accelerator to one of "
            f"{', '.join(PEAK_TFLOPS)} for an estimate from arithmetic",
        )
    rate = PEAK_TFLOPS[accelerator] * 1e12 * UTILISATION * gpus
    basis = f"not timed: {UTILISATION:.0%} of the {PEAK_TFLOPS[accelerator]:g} TFLOP/s of a {accelerator} is assumed"
    return TrainingTime(seconds=_training_flops(typical, config) / rate, basis=basis)
