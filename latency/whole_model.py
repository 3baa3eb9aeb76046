"""Time one architecture whole, the way it runs: prompt, then one step a token, through the decoder.

The other side of a prediction. Weights are random, since time does not depend on them.
"""

import time
from dataclasses import dataclass
from typing import Final

import torch

from latency.copies import TORCH_DTYPES
from latency.runtime import Decoder
from latency.workload import Workload
from operators.model import HybridLM
from search_spaces.architecture import Architecture

SEED: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Milliseconds of one run."""

    prefill_ms: float
    """Of the prompt, the first token chosen; 0 where the workload does not count it."""

    decode_ms: float
    """Of all generated tokens; 0 where the workload counts the prompt only."""

    @property
    def milliseconds(self) -> float:
        """What the workload means by latency."""
        return self.prefill_ms + self.decode_ms


class WholeModel:
    """One architecture on a device, ready to run one workload again and again."""

    def __init__(self, architecture: Architecture, *, workload: Workload, device: str) -> None:
        model = random_model(architecture, dtype=TORCH_DTYPES[workload.dtype], device=device)
        self._workload = workload
        self._device = torch.device(device)
        self._decoder = Decoder(model, batch_size=workload.batch_size, max_tokens=workload.max_tokens + 1)
        shape = (workload.batch_size, workload.prompt_tokens)
        generator = torch.Generator().manual_seed(SEED)
        self._prompt_BT = torch.randint(architecture.vocab_size, shape, generator=generator).to(device)

    def run(self) -> Timing:
        """Run the workload once.

        Where the prompt counts, it is read once before, off the clock: models take turns, and a model in use is warm.
        """
        workload = self._workload
        self._read_prompt()
        prefill_ms = 0.0
        if workload.has_prefill:
            # The meta tokens are the same for every prompt, so they are read before it comes.
            self._decoder.reset()
            started = self._now()
            self._decoder.read(self._prompt_BT)
            prefill_ms = 1000 * (self._now() - started)
        started = self._now()
        self._decoder.extend(workload.generated_tokens)
        return Timing(prefill_ms=prefill_ms, decode_ms=1000 * (self._now() - started))

    def _read_prompt(self) -> None:
        if self._prompt_BT.shape[1]:
            self._decoder.prefill(self._prompt_BT)
        else:
            self._decoder.reset()

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def random_model(architecture: Architecture, *, dtype: torch.dtype, device: str) -> HybridLM:
    """Return a model for timing on a device, its weights random, without gradients."""
    # Drawn where they are used: the reproducible weights of `HybridLM.initialize` come from the CPU, in seconds.
    with torch.device("meta"):
        model = HybridLM(architecture, seed=SEED).to(dtype)
    model = model.to_empty(device=device).eval().requires_grad_(False)
    for weight in model.parameters():
        weight.normal_(0, weight.shape[-1] ** -0.5)
    return model
