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
from nas.expected_work import ExpectedWork, expected_work
from nas.search import Prepared, prepare
from proxies.budget import training_flops_per_token, within_budget
from proxies.fidelity import LEAST_CANDIDATES
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
    work: ExpectedWork

    @property
    def num_trainings(self) -> int:
        """Candidates and repeats; what the frontier's repeats will be, nobody knows before."""
        return self.config.budget.evaluations + self.config.budget.repeats

    def __str__(self) -> str:
        config, budget, training = self.config, self.config.budget, self.config.proxy.training
        resources = config.resources
        each, most = training.total_tokens, "at most " if training.flops else ""
        about = "about " if config.halving is not None else ""
        in_all = round((self.work.candidates + self.work.repeats) * each)
        lines = [
            f"{config.name}: {budget.evaluations} candidates and {budget.repeats} repeats by {config.strategy.name}",
            f"training    {most}{each:,} tokens each, {about}{in_all:,} in all; "
            f"{self.training_flops:.3g} FLOP for a median candidate",
            *self._besides(),
            f"hours       {self._hours()}",
            f"text        {self.corpus_words}",
            f"latency     {self.num_rows} rows needed, {self.num_missing_rows} to be measured on "
            f"{config.latency.device} ({config.latency.workload.describe()})",
            f"resources   {resources.cpus_per_candidate:g} CPU and {resources.gpus_per_candidate:g} GPU a candidate, "
            f"executor {resources.executor}",
        ]
        return "\n".join(lines)

    def _besides(self) -> list[str]:
        """Return what changes the sum of full trainings."""
        config, work = self.config, self.work
        evaluations, each = config.budget.evaluations, config.proxy.training.total_tokens
        lines = []
        if config.halving is not None:
            lines.append(
                f"halving     about {work.candidates / evaluations:.0%} of the tokens of full trainings, and "
                f"{work.finished:.0f} candidates trained to their end: an estimate, from small hybrids"
            )
        if config.proxy.probes is not None:
            probes, share = config.proxy.probes, work.probes / (work.finished + work.repeats)
            names = ", ".join(probes.tasks)
            lines.append(
                f"probes      {names} ({probes.difficulty}): {share:.2g} times the arithmetic of a candidate's "
                "training, for each that is trained to its end"
            )
        section = config.proxy.fidelity
        if section is not None:
            lines.append(
                f"fidelity    {work.num_longer} candidates trained {section.tokens_multiple:g} times as long: "
                f"{round(work.longer * each):,} tokens"
                + (
                    f"; a record needs {LEAST_CANDIDATES}: raise candidates, or lower every"
                    if work.num_longer < LEAST_CANDIDATES
                    else ""
                )
            )
        if config.budget.frontier_repeats:
            lines.append(
                "besides     each candidate that gets onto the frontier is trained "
                f"{config.budget.frontier_repeats} times more, which is not counted here"
            )
        return lines

    def _hours(self) -> str:
        if self.time.seconds is None:
            return f"unknown: {self.time.basis}"
        resources = self.config.resources
        hours = self.time.seconds / 3600
        held = resources.gpus_per_candidate or resources.cpus_per_candidate
        return (
            f"{self.work.total * hours * held:,.4g} {'GPU' if resources.gpus_per_candidate else 'CPU core'}-hours "
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
        work=expected_work(config, typical),
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
