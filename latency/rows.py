"""What one row of a latency table says, and what names it.

Keys only: which rows a workload needs is `plan.py`, how they are timed is `measure.py`.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from latency.workload import Phase
from operators.kernel_revision import revision_of
from search_spaces.specs import FLA_PREFIX, AttentionSpec, FlaSpec, HybridHeadSpec, OperatorSpec, spec_to_dict

OPERATOR_PART: Final = "operator"
OVERHEAD: Final = "overhead"
FIXED_PARTS: Final = ("embedding", "head", "sampling", OVERHEAD)
"""What every step of a model costs besides its operators. The final norm belongs to the head, as it is part of the same
launch on a GPU; `overhead` is what remains: the decoder's bookkeeping, the loop, or a graph's launch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowKey:
    """What was timed."""

    part: str
    """`operator`, or one of `FIXED_PARTS`."""

    operator: str = ""
    """Canonical JSON of the operator's spec (`operator_key`); empty for a fixed part."""

    hidden_size: int
    vocab_size: int = 0
    """Zero for operators, whose time does not depend on it."""

    phase: Phase
    batch_size: int

    context_tokens: int
    """Prefill: tokens processed at once. Decode: tokens in the cache when the step began; 0 where that is no matter."""

    dtype: str

    num_meta_tokens: int = 0
    """Meta tokens in the state before the prompt came (for decode: among the context); 0 where they are no matter."""

    def describe(self) -> str:
        """Return short words, such as `mamba2, width 256, decode, batch 1, float32`."""
        at = f" at {self.context_tokens} tokens" if self.context_tokens else ""
        behind = f" behind {self.num_meta_tokens} meta tokens" if self.num_meta_tokens else ""
        when = f"{self.phase}{at}{behind}"
        return f"{self._name}, width {self.hidden_size}, {when}, batch {self.batch_size}, {self.dtype}"

    @property
    def _name(self) -> str:
        if not self.operator:
            return self.part
        content = json.loads(self.operator)
        if content["kind"] == FlaSpec.kind:
            return f"{FLA_PREFIX}{content['layer']}"
        return _name_of(content["kind"], has_window=content.get("window") is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRow:
    """One measurement: microseconds for one call of one operator or fixed part."""

    key: RowKey
    median_us: float
    p20_us: float
    p80_us: float
    samples: int

    backend: str
    """The implementation that ran."""

    kernel_revision: str = ""
    """Revision of our kernels in it; empty where it has none."""

    failure: str = ""
    """Why there is no time (the times are NaN then); empty for a measured row."""

    @property
    def is_outdated(self) -> bool:
        """Whether it was measured with other kernels of ours than those here."""
        return self.kernel_revision != revision_of(self.backend)

    def describe(self) -> str:
        """Return short words for what was timed."""
        return self.key.describe()


def operator_key(spec: OperatorSpec) -> str:
    """Return the canonical JSON of a spec: equal keys take equal time.

    An operator that reads another one's keys and values keeps only a flag of it, since the index costs nothing.
    """
    return _operator_key(spec)


@lru_cache(maxsize=8192)
def _operator_key(spec: OperatorSpec) -> str:
    content = spec_to_dict(spec, omit_defaults=True)
    for branch in (content, content.get("attention")):
        if isinstance(branch, dict) and "shares_kv_with" in branch:
            branch["shares_kv_with"] = True
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def operator_name(spec: OperatorSpec) -> str:
    """Return the name under which a breakdown adds up the operator."""
    return _name_of(spec.kind, has_window=isinstance(spec, AttentionSpec) and spec.window is not None)


def _name_of(kind: str, *, has_window: bool) -> str:
    return "sliding_window_attention" if kind == AttentionSpec.kind and has_window else kind


def meta_tokens_that_matter(spec: OperatorSpec, *, phase: Phase, num_meta_tokens: int) -> int:
    """Return how many meta tokens an operator is timed with in a model that has `num_meta_tokens`.

    Only attention treats them as anything but earlier tokens: a prompt is read behind them, and a window keeps them in
    sight. To a decode step without a window they are context.
    """
    attention = attention_of(spec)
    if attention is None or (phase == "decode" and attention.window is None):
        return 0
    return num_meta_tokens


def most_context(spec: OperatorSpec, *, num_meta_tokens: int = 0) -> int | None:
    """Return the context beyond which a decode step costs no more: 0 for a fixed state, none for a growing cache.

    A window keeps the meta tokens in sight besides its own.
    """
    attention = attention_of(spec)
    if attention is None:
        return 0
    return None if attention.window is None else attention.window + num_meta_tokens


def attention_of(spec: OperatorSpec) -> AttentionSpec | None:
    """Return the attention that an operator is or holds, if any."""
    match spec:
        case AttentionSpec():
            return spec
        case HybridHeadSpec():
            return spec.attention
        case _:
            return None
