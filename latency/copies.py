"""Copies of one residual operator with weights, states and inputs of their own, ready to be timed.

Building only; the clock is `cpu_clock.py` or `cuda_clock.py`.
"""

import torch
from torch import Tensor

from latency.workload import Dtype, Phase
from operators.base import State
from operators.context import KeyValues, SequenceContext
from operators.model import ResidualOperator
from search_spaces.specs import AttentionSpec, HybridHeadSpec, OperatorSpec, kv_source

TORCH_DTYPES: dict[Dtype, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
NORM_EPS = 1e-6
"""Added to the mean square in norms; it costs nothing, whatever its value."""


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
        self._states: dict[int, State] = {}
        self._prefill_states: dict[int, State] = {}
        self._contexts: dict[int, SequenceContext] = {}

    def backend(self, phase: Phase) -> str:
        """Return the implementation that runs a phase of a workload."""
        example = torch.empty(0, device=self.device, dtype=self.dtype)
        return self.module.operator.backend_at("step" if phase == "decode" else "sequence", example)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the parameters."""
        return sum(parameter.nbytes for parameter in self.module.parameters())

    def prepare_step(self, context_tokens: int) -> None:
        """Make a state that holds `context_tokens` tokens, random ones, and room for one more."""
        state = self._new_state(max_tokens=context_tokens + 1)
        for tensor in state.tensors():
            if tensor.is_floating_point():
                tensor.normal_()
        self._states[context_tokens] = state
        self.rewind(context_tokens)

    def prepare_prefill(self, tokens: int) -> None:
        """Make a state and a context for a prompt of `tokens` tokens."""
        self._prefill_states[tokens] = self._new_state(max_tokens=tokens)
        self._contexts[tokens] = SequenceContext(start=0, key_values=self._shared_key_values(tokens))

    def step(self, x_BD: Tensor, *, context_tokens: int) -> Tensor:
        """Return the output for one token behind `context_tokens` others.

        On a CPU `rewind` comes before every repetition; on a GPU a full cache overwrites its oldest token, so that
        every repetition does the same work.
        """
        return self.module.step(x_BD, self._states[context_tokens])

    def rewind(self, context_tokens: int) -> None:
        """Let the state hold `context_tokens` tokens again."""
        for tensor in self._states[context_tokens].tensors():
            if not tensor.is_floating_point():
                tensor.fill_(context_tokens)

    def prefill(self, x_BTD: Tensor) -> Tensor:
        """Return the outputs for a prompt."""
        tokens = x_BTD.shape[1]
        context = self._contexts[tokens].at(0)
        y_BTD: Tensor = self.module(x_BTD, state=self._prefill_states[tokens], context=context)
        return y_BTD

    def reset_prefill(self, tokens: int) -> None:
        """Empty the state a prompt filled."""
        self._prefill_states[tokens].reset_()

    def _new_state(self, *, max_tokens: int) -> State:
        return self.module.new_state(
            batch_size=self.batch_size, max_tokens=max_tokens, device=self.device, dtype=self.dtype
        )

    def _shared_key_values(self, tokens: int) -> dict[int, KeyValues]:
        # An operator that shares keys and values finds those of its source in the context of the call.
        source = kv_source(self.spec)
        attention = self.spec.attention if isinstance(self.spec, HybridHeadSpec) else self.spec
        if source is None or not isinstance(attention, AttentionSpec):
            return {}
        keys, values = (
            torch.randn(self.batch_size, tokens, attention.num_kv_heads, width, device=self.device, dtype=self.dtype)
            for width in (attention.head_dim, attention.value_dim)
        )
        return {source: KeyValues(keys, values)}
