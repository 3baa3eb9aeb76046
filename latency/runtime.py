"""The decoder: what a latency table describes, and what `nas generate`, validation and benchmarks run.

Buffers are made once. On a GPU a step is one CUDA graph that takes the token it chose itself as its next input, so the
host only replays it; on a CPU the same step runs eagerly. Which kernels a step is made of is the operators' affair.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from latency.workload import PREFILL_CHUNK_TOKENS, chunk_length
from operators.model import HybridLM
from search_spaces.errors import SpecError

_WARMUP_STEPS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen from the logits."""

    temperature: float = 0.0
    """0 takes the likeliest token."""

    top_k: int | None = None
    """Tokens to choose among; none means all."""

    seed: int = 0

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise SpecError(f"temperature must be zero (the likeliest token) or positive; got {self.temperature}.")
        if self.top_k is not None and self.top_k < 1:
            raise SpecError(f"top_k must be at least 1, or none for all tokens; got {self.top_k}.")


class Decoder:
    """Generates for `batch_size` sequences at once, of at most `max_tokens` tokens each, prompt included.

    The model decides device and dtype. Weights may change between generations, in place.
    """

    def __init__(
        self,
        model: HybridLM,
        *,
        batch_size: int,
        max_tokens: int,
        sampling: Sampling | None = None,
        prefill_chunk_tokens: int = PREFILL_CHUNK_TOKENS,
    ) -> None:
        weight = model.embedding
        self.batch_size = batch_size
        self.max_tokens = max_tokens
        self._model = model
        self._chunk_length = chunk_length(batch_size, chunk_tokens=prefill_chunk_tokens)
        self._sampling = sampling or Sampling()
        self._generator = torch.Generator(weight.device).manual_seed(self._sampling.seed)
        self._state = model.new_state(
            batch_size=batch_size, max_tokens=max_tokens, device=weight.device, dtype=weight.dtype
        )
        self._tokens_B = torch.zeros(batch_size, dtype=torch.int64, device=weight.device)
        self._written_BN = torch.zeros(batch_size, max_tokens, dtype=torch.int64, device=weight.device)
        self._num_written = torch.zeros(1, dtype=torch.int64, device=weight.device)
        self._advance: Callable[[], None] = self._captured() if weight.is_cuda else self._step

    @torch.inference_mode()
    def generate(self, prompt_BT: Tensor, *, num_tokens: int) -> Tensor:
        """Return the `num_tokens` tokens [B, N] that follow a prompt; the host waits for the device once, at the end.

        Raises:
            SpecError: a prompt of another batch, no tokens asked for, or more than the decoder has room for.
        """
        self._check(prompt_BT, num_tokens=num_tokens)
        self.prefill(prompt_BT)
        self.extend(num_tokens - 1)
        return self._written_BN[:, :num_tokens].clone()

    @torch.inference_mode()
    def stream(self, prompt_BT: Tensor, *, num_tokens: int) -> Iterator[Tensor]:
        """Yield the tokens [B] that `generate` returns, each as soon as it is there."""
        self._check(prompt_BT, num_tokens=num_tokens)
        self.prefill(prompt_BT)
        yield self._tokens_B.clone()
        for _ in range(num_tokens - 1):
            self.extend(1)
            yield self._tokens_B.clone()

    def reset(self) -> None:
        """Forget what was read and generated; what comes next is the token after the meta tokens and token 0."""
        self._model.reset_state(self._state)
        self._generator.manual_seed(self._sampling.seed)
        self._num_written.zero_()
        self._tokens_B.zero_()

    @torch.inference_mode()
    def prefill(self, prompt_BT: Tensor) -> None:
        """Start anew: read a prompt and choose the first token after it."""
        self.reset()
        self.read(prompt_BT)

    @torch.inference_mode()
    def read(self, prompt_BT: Tensor) -> None:
        """Read a prompt right after `reset`, the meta tokens in the cache, and choose the first token after it."""
        for chunk_BT in torch.split(prompt_BT, self._chunk_length, dim=1):
            logits_BV = self._model.prefill(chunk_BT, self._state)
        self._write(logits_BV)

    @torch.inference_mode()
    def pretend(self, num_tokens: int) -> None:
        """Fill caches and states right after `reset` as if so many random tokens had been read: for timing only."""
        position = self._model.architecture.num_meta_tokens + num_tokens
        for tensor in self._state.tensors():
            if tensor.is_floating_point():
                tensor.normal_()
            else:
                tensor.fill_(position)

    @torch.inference_mode()
    def extend(self, num_tokens: int) -> None:
        """Take so many steps more, without waiting for the device; the caller counts what there is room for."""
        for _ in range(num_tokens):
            self._advance()

    def _check(self, prompt_BT: Tensor, *, num_tokens: int) -> None:
        if prompt_BT.ndim != 2 or prompt_BT.shape[0] != self.batch_size or not prompt_BT.shape[1]:
            raise SpecError(
                f"A prompt must be [batch={self.batch_size}, tokens] with at least one token; "
                f"got {tuple(prompt_BT.shape)}."
            )
        if num_tokens < 1:
            raise SpecError(f"num_tokens must be at least 1; got {num_tokens}.")
        if prompt_BT.shape[1] + num_tokens > self.max_tokens:
            raise SpecError(
                f"A decoder of max_tokens={self.max_tokens} has no room for {prompt_BT.shape[1]} prompt and "
                f"{num_tokens} generated tokens. Make it with a larger max_tokens."
            )

    def _step(self) -> None:
        self._write(self._model.step(self._tokens_B, self._state))

    def _write(self, logits_BV: Tensor) -> None:
        self._tokens_B.copy_(self._choose(logits_BV))
        self._written_BN.index_copy_(1, self._num_written, self._tokens_B[:, None])
        self._num_written.add_(1)

    def _choose(self, logits_BV: Tensor) -> Tensor:
        sampling = self._sampling
        if not sampling.temperature:
            return logits_BV.argmax(-1)
        logits_BV = logits_BV.float() / sampling.temperature
        if sampling.top_k is not None and sampling.top_k < logits_BV.shape[-1]:
            least_B1 = logits_BV.topk(sampling.top_k, dim=-1).values[:, -1:]
            logits_BV = logits_BV.masked_fill(logits_BV < least_B1, -torch.inf)
        # The first of exponential clocks with rates p rings at i with probability p_i; no host sees a probability.
        waiting_BV = torch.empty_like(logits_BV).exponential_(generator=self._generator)
        return (logits_BV - waiting_BV.log()).argmax(-1)

    def _captured(self) -> Callable[[], None]:
        """Return the replay of a step; every kernel has run before, as capture wants."""
        side: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side), torch.inference_mode():
            for _ in range(_WARMUP_STEPS):
                self.reset()
                self._step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._generator)
        with torch.inference_mode(), torch.cuda.graph(graph):
            self._step()
        return graph.replay
