"""The expensive side of a search over language models: decode a genome, scale it for the proxy, train it briefly.

Travels to the workers, so it holds nothing of the driver: no study, no files, no table.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal

from nas.candidates import Evaluated, Failed, FailureKind, Outcome
from proxies.placement import resolve_device
from proxies.scale import proxy_scale
from proxies.short_training import ShortTraining
from search_spaces import Architecture, ArchitectureSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortTrainingEvaluation:
    """Evaluates genomes by short training; picklable."""

    space: ArchitectureSpace[Any]
    proxy: ShortTraining

    def proxy_architecture(self, genome: Hashable) -> Architecture:
        """Return the architecture that is trained for a genome."""
        return proxy_scale(self.space.decode(genome), vocab_size=self.proxy.corpus.tokenizer.vocab_size)

    def _kind(self, status: Literal["diverged", "out_of_memory", "unbuildable"]) -> FailureKind:
        if status != "out_of_memory":
            return status
        is_gpu = resolve_device(self.proxy.settings.device).type == "cuda"
        return "gpu_out_of_memory" if is_gpu else "host_out_of_memory"

    def __call__(self, genome: Hashable, seed: int) -> Outcome:
        """Train the genome's proxy and return its perplexity, or how it failed."""
        result = self.proxy.evaluate(self.proxy_architecture(genome), seed=seed)
        content = result.to_dict()
        if result.status != "finished":
            return Failed(self._kind(result.status), result.message)
        # The curve as plain rows: thousands of trials share one journal.
        content["curve"] = [[point.tokens, point.loss, point.validation_loss] for point in result.curve]
        details = {key: value for key, value in content.items() if key not in ("status", "message", "perplexity")}
        assert result.perplexity is not None  # a finished result has its scores
        return Evaluated(objectives={"perplexity": result.perplexity}, details=details)
