"""The expensive side of a search over language models: decode a genome, scale it for the proxy, train it briefly.

Travels to the workers, so it holds nothing of the driver: no study, no files, no table.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal

from nas.candidates import Evaluated, Failed, FailureKind, Outcome, Stopped
from proxies.errors import LostProcessError
from proxies.placement import resolve_device
from proxies.probes.suite import ProbeSuite
from proxies.rungs import Rungs
from proxies.scale import proxy_scale
from proxies.short_training import ShortTraining
from search_spaces import Architecture, ArchitectureSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortTrainingEvaluation:
    """Evaluates genomes by short training; picklable."""

    space: ArchitectureSpace[Any]
    proxy: ShortTraining
    width_fraction: float = 1.0
    probes: ProbeSuite | None = None
    """Give the objective `recall_error`, after short training."""

    def proxy_architecture(self, genome: Hashable) -> Architecture:
        """Return the architecture that is trained for a genome."""
        return proxy_scale(
            self.space.decode(genome),
            vocab_size=self.proxy.corpus.tokenizer.vocab_size,
            width_fraction=self.width_fraction,
        )

    def _kind(self, status: Literal["diverged", "out_of_memory", "unbuildable"]) -> FailureKind:
        if status != "out_of_memory":
            return status
        is_gpu = resolve_device(self.proxy.settings.device).type == "cuda"
        return "gpu_out_of_memory" if is_gpu else "host_out_of_memory"

    def __call__(self, genome: Hashable, seed: int, rungs: Rungs | None = None) -> Outcome:
        """Train the genome's proxy and return its perplexity, with probes its recall error too, or how it failed."""
        architecture = self.proxy_architecture(genome)
        try:
            result = self.proxy.evaluate(architecture, seed=seed, rungs=rungs)
        except LostProcessError as error:
            return Failed("lost_worker", str(error))
        content = result.to_dict()
        if result.status != "finished" and result.status != "stopped":
            return Failed(self._kind(result.status), result.message)
        # The curve as plain rows: thousands of trials share one journal.
        content["curve"] = [[point.tokens, point.loss, point.validation_loss] for point in result.curve]
        left_out = {"status", "message", "perplexity"} | (set() if rungs else {"rung_losses", "tokens_planned"})
        details = {key: value for key, value in content.items() if key not in left_out}
        if result.status == "stopped":
            return Stopped(details=details)
        assert result.perplexity is not None  # a finished result has its scores
        trained = Evaluated(objectives={"perplexity": result.perplexity}, details=details)
        return trained if self.probes is None else self._probed(trained, self.probes, architecture, seed=seed)

    def _probed(self, trained: Evaluated, probes: ProbeSuite, architecture: Architecture, *, seed: int) -> Outcome:
        result = probes.evaluate(architecture, seed=seed)
        if result.unfinished is not None:
            name, probe = result.unfinished
            assert probe.status != "finished"
            assert probe.status != "stopped"
            return Failed(self._kind(probe.status), f"The probe {name}: {probe.message}")
        assert result.recall_error is not None  # every probe has its score
        return Evaluated(
            objectives={**trained.objectives, "recall_error": result.recall_error},
            details={**trained.details, "probes": result.to_dict()},
        )
