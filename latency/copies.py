"""Copies of one residual operator with weights, states and inputs of their own, ready to be timed.

Building only; the clock is `cpu_clock.py` or `cuda_graphs.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from latency.plan import MeasurementRequest
from latency.rows import attention_of
from latency.workload import Dtype, Phase, chunk_length
from operators.base import State
from operators.context import KeyValues, SequenceContext
from operators.model import ResidualOperator
from search_spaces.specs import OperatorSpec, kv_source

TORCH_DTYPES: dict[Dtype, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
NORM_EPS = 1e-6
"""Added to the mean square in norms; it costs nothing, whatever its value."""


_Size = tuple[int, int]
"""Tokens, and meta tokens among or before them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prompt:
    """What reading a prompt needs: it is the same for every reading."""

    state: State
    context: SequenceContext


class OperatorCopy:
    """One residual operator, norm and residual included, with a state for every context it is stepped at.

    Weights, states and inputs are random: zeros would flatter hardware that computes with them faster.
    """

    def __init__(self, spec: OperatorSpec, *, hidden_size: int, batch_size: int, dtype: Dtype, device: str) -> None:
        self.spec = spec
        self.batch_size = batch_size
        self.device = device
        self.dtype = TORCH_DTYPES[dtype]
        self.module = ResidualOperator(spec, hidden_size=hidden_size, norm_eps=NORM_EPS, backend="auto")
        self.module.to(device=device, dtype=self.dtype).eval().requires_grad_(False)
        self._states: dict[_Size, State] = {}
        self._prompts: dict[_Size, _Prompt] = {}

    def backend(self, phase: Phase) -> str:
        """Return the implementation that runs a phase of a workload."""
        example = torch.empty(0, device=self.device, dtype=self.dtype)
        return self.module.operator.backend_at("step" if phase == "decode" else "sequence", example)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the parameters."""
        return sum(parameter.nbytes for parameter in self.module.parameters())

    def prepare_step(self, context_tokens: int, *, num_meta_tokens: int = 0, room: int | None = None) -> None:
        """Make a state that holds `context_tokens` tokens, random ones, and room for more.

        Args:
            context_tokens: Tokens in the cache, meta tokens included.
            num_meta_tokens: How many of them are meta tokens.
            room: Tokens there is room for; none means one more.
        """
        state = self._new_state(max_tokens=room or context_tokens + 1, num_meta_tokens=num_meta_tokens)
        for tensor in state.tensors():
            if tensor.is_floating_point():
                tensor.normal_()
        self._states[(context_tokens, num_meta_tokens)] = state
        self.rewind(context_tokens, num_meta_tokens=num_meta_tokens)

    def prepare_prefill(self, tokens: int, *, num_meta_tokens: int = 0) -> None:
        """Make a state that holds the meta tokens, and a context, for a prompt of `tokens` tokens."""
        shared = self._shared_key_values(num_meta_tokens + tokens)
        self._prompts[(tokens, num_meta_tokens)] = _Prompt(
            state=self._new_state(max_tokens=num_meta_tokens + tokens, num_meta_tokens=num_meta_tokens),
            context=SequenceContext(num_meta_tokens=num_meta_tokens, start=num_meta_tokens, key_values=shared),
        )
        self.reset_prefill(tokens, num_meta_tokens=num_meta_tokens)

    def step(self, x_BD: Tensor, *, context_tokens: int, num_meta_tokens: int = 0) -> Tensor:
        """Return the output for one token behind `context_tokens` others; there is room for it once, until `rewind`."""
        return self.module.step(x_BD, self._states[(context_tokens, num_meta_tokens)])

    def rewind(self, context_tokens: int, *, num_meta_tokens: int = 0) -> None:
        """Let the state hold `context_tokens` tokens again."""
        for tensor in self._states[(context_tokens, num_meta_tokens)].tensors():
            if not tensor.is_floating_point():
                tensor.fill_(context_tokens)

    def prefill(self, x_BTD: Tensor, *, num_meta_tokens: int = 0) -> Tensor:
        """Return the outputs for a prompt behind the meta tokens."""
        prompt = self._prompts[(x_BTD.shape[1], num_meta_tokens)]
        chunks = torch.split(x_BTD, chunk_length(self.batch_size), dim=1)
        if len(chunks) == 1:
            y_BTD: Tensor = self.module(x_BTD, state=prompt.state, context=prompt.context.at(0))
            return y_BTD
        # In pieces, as the decoder reads it; what each leaves behind is the start of the next.
        outputs, start = [], num_meta_tokens
        for chunk_BTD in chunks:
            end = start + chunk_BTD.shape[1]
            shared = {
                source: KeyValues(*(x[:, :end] for x in key_values))
                for source, key_values in prompt.context.key_values.items()
            }
            context = SequenceContext(num_meta_tokens=num_meta_tokens, start=start, key_values=shared)
            outputs.append(self.module(chunk_BTD, state=prompt.state, context=context.at(0)))
            start = end
        return torch.cat(outputs, dim=1)

    def rewind_prefill(self, tokens: int, *, num_meta_tokens: int = 0) -> None:
        """Let the state hold the meta tokens only, as far as counters say; what they hold costs no time."""
        for tensor in self._prompts[(tokens, num_meta_tokens)].state.tensors():
            if not tensor.is_floating_point():
                tensor.fill_(num_meta_tokens)

    def reset_prefill(self, tokens: int, *, num_meta_tokens: int = 0) -> None:
        """Empty the state a prompt filled, but for the meta tokens."""
        prompt = self._prompts[(tokens, num_meta_tokens)]
        prompt.state.reset_()
        if not num_meta_tokens:
            return
        shared = {
            source: KeyValues(*(x[:, :num_meta_tokens] for x in key_values))
            for source, key_values in prompt.context.key_values.items()
        }
        meta_BMD = torch.randn(
            self.batch_size, num_meta_tokens, self.module.norm.weight.shape[0], device=self.device, dtype=self.dtype
        )
        context = SequenceContext(num_meta_tokens=num_meta_tokens, start=0, key_values=shared)
        with torch.no_grad():
            self.module(meta_BMD, state=prompt.state, context=context)

    def _new_state(self, *, max_tokens: int, num_meta_tokens: int) -> State:
        return self.module.new_state(
            batch_size=self.batch_size,
            max_tokens=max_tokens,
            device=self.device,
            dtype=self.dtype,
            num_meta_tokens=num_meta_tokens,
        )

    def _shared_key_values(self, tokens: int) -> dict[int, KeyValues]:
        # An operator that shares keys and values finds those of its source in the context of the call.
        source, attention = kv_source(self.spec), attention_of(self.spec)
        if source is None or attention is None:
            return {}
        keys, values = (
            torch.randn(self.batch_size, tokens, attention.num_kv_heads, width, device=self.device, dtype=self.dtype)
            for width in (attention.head_dim, attention.value_dim)
        )
        return {source: KeyValues(keys, values)}


def step_of(copy: OperatorCopy, request: MeasurementRequest) -> Callable[[Tensor], Tensor]:
    """Return the decode step that a request asks for."""
    return partial(copy.step, context_tokens=request.context_tokens, num_meta_tokens=request.num_meta_tokens)


def prefill_of(copy: OperatorCopy, request: MeasurementRequest) -> Callable[[Tensor], Tensor]:
    """Return the prefill that a request asks for."""
    return partial(copy.prefill, num_meta_tokens=request.num_meta_tokens)
