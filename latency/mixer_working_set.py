"""The most bytes the recurrent mixers hold at once, in their chunked forms in torch; see `working_set.py`.

Not their states, which stay. Every tensor counted carries the name it has in the mixer.
"""

from dataclasses import dataclass
from typing import Final

from search_spaces.specs import DeltaNetSpec, GatedDeltaNetSpec, Mamba1Spec, Mamba2Spec

WIDE: Final = 4
_DOUBLE: Final = 8

MAMBA2_CHUNK_TOKENS: Final = 64
"""As in `operators/mamba2/chunked.py`."""

DELTA_CHUNK_TOKENS: Final = 32
"""As in `operators/deltanet/chunked.py`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixerCall:
    """A chunk of a prompt, or one token."""

    batch_size: int
    tokens: int
    hidden_size: int

    element: int
    """Bytes of a number in the model's dtype."""

    @property
    def rows(self) -> int:
        """Tokens of all sequences."""
        return self.batch_size * self.tokens

    def cut(self, longest: int) -> tuple[int, int]:
        """Return how many chunks a sequence falls into, and the tokens of each."""
        num_chunks = -(-self.tokens // longest)
        return num_chunks, -(-self.tokens // num_chunks)


def mamba1_mixer(spec: Mamba1Spec, call: MixerCall) -> int:
    """Return what Mamba-1 holds between its outer projections, for a chunk."""
    rows, inner, states = call.rows, spec.inner_size, spec.state_size
    swaps = call.batch_size > 1
    history = (rows + call.batch_size * (spec.conv_width - 1)) * inner * call.element
    is_view = not spec.inner_norms and call.element == WIDE
    # B and C alone, or as views of all that was selected.
    selected = spec.dt_rank + 2 * states if is_view else 2 * states
    streams = 3 * inner + selected + (2 * inner if swaps else 0) + (2 * states if swaps or is_view else 0)
    recurrence = (2 * rows + call.batch_size) * inner * states
    outputs = rows * inner * (2 if swaps else 1) + call.batch_size * inner * states
    return history + WIDE * (rows * streams + recurrence + outputs)


def mamba2_mixer(spec: Mamba2Spec, call: MixerCall) -> int:
    """Return what Mamba2 holds between its outer projections, for a chunk."""
    num_chunks, length = call.cut(MAMBA2_CHUNK_TOKENS)
    rows = call.batch_size * num_chunks * length
    inner, heads, groups = spec.inner_size, spec.num_heads, spec.num_groups
    keys = groups * spec.state_size
    channels = inner + 2 * keys
    held = _convolved(channels, spec.conv_width, call)
    held += WIDE * rows * (2 * heads + inner) + _DOUBLE * rows * heads
    if rows > call.rows:
        held += WIDE * rows * 2 * keys
    scores, weights = WIDE * rows * length * groups, WIDE * rows * length * heads
    state = WIDE * call.batch_size * inner * spec.state_size
    # Differences of sums in float64, and rounded; or what chunks add to the state, the states, and what they recall.
    within = scores + (_DOUBLE + WIDE) * rows * length * heads
    between = scores + weights + WIDE * rows * (2 * inner + 2 * heads) + (2 * num_chunks + 2) * state
    laid_out = (num_chunks * state if call.batch_size > 1 else 0) + (WIDE * rows * keys if groups > 1 else 0)
    recalling = WIDE * rows * inner + max(laid_out, WIDE * rows * 2 * inner)
    return held + length**2 + max(within, between + recalling)


def deltanet(spec: DeltaNetSpec, call: MixerCall) -> int:
    """Return what DeltaNet holds between its input and its output, for a chunk."""
    inner, heads = spec.num_heads * spec.head_dim, spec.num_heads
    projected = (4 if spec.output_gate else 3) * inner + heads
    streams = call.element * call.rows * projected + _convolved(3 * inner, spec.conv_width, call)
    streams += WIDE * call.rows * (2 * inner + heads)
    return streams + _delta_rule(heads, spec.head_dim, spec.head_dim, call, decays=False)


def gated_deltanet(spec: GatedDeltaNetSpec, call: MixerCall) -> int:
    """Return what gated DeltaNet holds between its input and its output, for a chunk."""
    heads, inner = spec.value_heads, spec.inner_size
    channels = 2 * spec.key_size + inner
    projected = channels + 2 * heads + (inner if spec.output_gate else 0)
    streams = call.element * call.rows * projected + _convolved(channels, spec.conv_width, call)
    streams += WIDE * call.rows * (2 * heads * spec.head_dim + 2 * heads)
    return streams + _delta_rule(heads, spec.head_dim, spec.value_dim, call, decays=True)


def _delta_rule(heads: int, key_dim: int, value_dim: int, call: MixerCall, *, decays: bool) -> int:
    """Return what the chunked delta rule holds when the last product is taken."""
    num_chunks, length = call.cut(DELTA_CHUNK_TOKENS)
    rows = call.batch_size * num_chunks * length * heads
    # The last is gone when the two parts of the outputs are added up.
    squares = rows * (length * (4 if decays else 3) + max(length, value_dim))
    # q, k, v, β, W, U, the errors and two parts of the outputs; under decay also what reads, recalls and writes.
    vectors = rows * ((6 if decays else 3) * key_dim + 5 * value_dim + (3 if decays else 1))
    states = (num_chunks + 2) * call.batch_size * heads * key_dim * value_dim
    return WIDE * (squares + vectors + states) + length**2


def _convolved(channels: int, width: int, call: MixerCall) -> int:
    """Return the inputs of a convolution behind their history, which stay as long as it, and its outputs."""
    padded = (call.rows + call.batch_size * (width - 1)) * channels
    return call.element * padded + WIDE * call.rows * channels


def mamba1_step(spec: Mamba1Spec, call: MixerCall) -> int:
    """Return what Mamba-1 holds between its outer projections, for one token."""
    batch, inner, states = call.batch_size, spec.inner_size, spec.state_size
    selected = spec.dt_rank + 2 * states
    decaying = batch * (2 * inner * states + 2 * inner + selected) + inner * states
    return max(_convolving_one(inner, spec.conv_width, call), WIDE * decaying)


def mamba2_step(spec: Mamba2Spec, call: MixerCall) -> int:
    """Return what Mamba2 holds between its outer projections, for one token."""
    channels = spec.inner_size + 2 * spec.num_groups * spec.state_size
    updating = WIDE * call.batch_size * (channels + 3 * spec.inner_size)
    return max(_convolving_one(channels, spec.conv_width, call), updating)


def delta_step(spec: DeltaNetSpec | GatedDeltaNetSpec, call: MixerCall) -> int:
    """Return what either DeltaNet holds between its input and its output, for one token."""
    if isinstance(spec, DeltaNetSpec):
        inner, heads = spec.num_heads * spec.head_dim, spec.num_heads
        channels, repeated = 3 * inner, 0
    else:
        inner, heads = spec.inner_size, 2 * spec.value_heads
        channels, repeated = 2 * spec.key_size + inner, 2 * spec.value_heads * spec.head_dim
    projected = call.batch_size * call.element * (channels + heads + (inner if spec.output_gate else 0))
    updating = WIDE * call.batch_size * (2 * channels + repeated + 3 * inner)
    return projected + max(_convolving_one(channels, spec.conv_width, call), updating)


def _convolving_one(channels: int, width: int, call: MixerCall) -> int:
    """Return what a convolution holds for one token: its window, the products, and copies in float32."""
    window = call.batch_size * channels * width
    if call.element == WIDE:
        return WIDE * (2 * window + call.batch_size * channels)
    return (call.element + 2 * WIDE) * window + WIDE * channels * width
