"""What each operator makes and keeps in a training step, written as its forward code is (`layer.py`, `mixer.py`).

It describes the torch backends: `sdpa` for attention, `chunked` for everything recurrent, whole rows without packed
documents. The fused kernels of fla and mamba-ssm keep less.
"""

from dataclasses import dataclass, field

from operators.cost import OwnSpec
from operators.memory_tape import Array, Tape
from search_spaces.specs import (
    AttentionSpec,
    DeltaNetSpec,
    FFNSpec,
    GatedDeltaNetSpec,
    HybridHeadSpec,
    Mamba1Spec,
    Mamba2Spec,
)

WIDE = 4
"""Bytes of a float32 number, in which norms, convolutions and recurrences run."""

DELTA_CHUNK = 32
MAMBA2_CHUNK = 64
QUERY_BLOCK = {"cpu": 128, "cuda": 1024}
LARGEST_KEPT_MASK = 2**24
"""The constants of those names of `deltanet/chunked.py`, `mamba2/chunked.py` and `attention/backends.py`."""


@dataclass(slots=True, kw_only=True)
class Writer:
    """Writes operators onto a tape."""

    tape: Tape
    hidden_size: int
    batch_size: int
    tokens: int
    """Of a row, meta tokens included."""

    num_meta_tokens: int
    compute: int
    """Bytes of a number of the autocast type; 4 is no autocast."""

    device: str
    key_values: dict[int, tuple[Array, Array]] = field(default_factory=dict)
    """Keys and values that operators have made, by operator."""

    @property
    def rows(self) -> int:
        """Tokens of the batch."""
        return self.batch_size * self.tokens

    def residual(self, spec: OwnSpec, x: Array, *, index: int) -> Array:
        """Write x + f(norm(x))."""
        h = self.norm(x, self.hidden_size)
        match spec:
            case FFNSpec():
                y = self._ffn(spec, h)
            case AttentionSpec():
                widths = _attention_widths(spec)
                qkv = self.linear(h, self.hidden_size, sum(widths), bias=spec.bias)
                y = self._attention(spec, qkv, index=index)
            case Mamba1Spec():
                y = self._mamba1(spec, self.linear(h, self.hidden_size, 2 * spec.inner_size))
            case Mamba2Spec():
                y = self._mamba2(spec, self.linear(h, self.hidden_size, sum(_mamba2_widths(spec))))
            case DeltaNetSpec() | GatedDeltaNetSpec():
                y = self._delta(spec, h)
            case HybridHeadSpec():
                y = self._hybrid(spec, h, index=index)
        update = self.linear(y, y.numel // self.rows, self.hidden_size)
        self.tape.still_holds(h)
        return self.tape.add(x, update)

    def linear(self, x: Array, width_in: int, width_out: int, *, bias: bool = False) -> Array:
        """Write a projection: autocast casts its input and its weight, and the backward pass keeps what it read."""
        x = self.tape.cast(x, self.compute)
        weight = self.tape.cast(self.tape.parameter(width_in * width_out), self.compute)
        inputs = [x, weight] + ([self.tape.parameter(width_out)] if bias else [])
        return self.tape.make(inputs, x.numel // width_in * width_out, self.compute, keep=(x, weight))

    def norm(self, x: Array, width: int) -> Array:
        """Write an RMS norm, in the input's type."""
        if self.device == "cuda":
            return self.tape.make([x], x.numel, x.item_bytes, keep=(x,), keep_numel=x.numel // width)
        return self.tape.cast(self._wide_norm(self.tape.cast(x, WIDE), width), x.item_bytes)

    def _wide_norm(self, x: Array, width: int) -> Array:
        return self.tape.make([x], x.numel, WIDE, keep_numel=x.numel + x.numel // width, backward=2 * x.num_bytes)

    def _ffn(self, spec: FFNSpec, h: Array) -> Array:
        size = spec.intermediate_size
        up = self.linear(h, self.hidden_size, size * (2 if spec.is_gated else 1))
        match spec.activation:
            case "swiglu":
                gate, value = self.tape.split(up, [up.numel // 2] * 2)
                return self.tape.multiply(self._silu(gate), value)
            case "relu2":
                rectified = self.tape.make([up], up.numel, up.item_bytes, keep_output=True)
                return self.tape.make(
                    [rectified], up.numel, up.item_bytes, keep=(rectified,), backward=2 * up.num_bytes
                )
            case "gelu":
                return self.tape.make([up], up.numel, up.item_bytes, keep=(up,))

    def _silu(self, x: Array) -> Array:
        return self.tape.make([x], x.numel, x.item_bytes, keep=(x,))

    def _attention(self, spec: AttentionSpec, qkv: Array, *, index: int) -> Array:
        tape, rows = self.tape, self.rows
        queries, keys = spec.num_heads * spec.head_dim, spec.num_kv_heads * spec.head_dim
        if spec.shares_kv_with is not None:
            widths = [rows * width for width in _attention_widths(spec)]
            q, *gate = tape.split(qkv, widths) if spec.output_gate else [qkv]
            q = self._rotated(spec, self._normed(spec, q, [spec.num_heads]))
            k, v = self.key_values[spec.shares_kv_with]
            if not tape.has_made(k):
                for array in (k, v):
                    tape.borrow(array)
        else:
            others = [rows * width for width in _attention_widths(spec)[2:]]
            qk, v, *gate = tape.split(qkv, [rows * (queries + keys), *others])
            qk = self._rotated(spec, self._normed(spec, qk, [spec.num_heads, spec.num_kv_heads]))
            q, k = tape.split(qk, [rows * queries, rows * keys])
            self.key_values[index] = (k, v)
        unpadded = (q, k, v)
        wide = max(spec.head_dim, spec.value_dim)
        if spec.head_dim < wide:
            q, k = (tape.make([x], x.numel // spec.head_dim * wide, x.item_bytes) for x in (q, k))
        elif spec.value_dim < wide:
            v = tape.make([v], v.numel // spec.value_dim * wide, v.item_bytes)
        window = spec.window
        is_causal = window is None or self.tokens - self.num_meta_tokens <= window
        item_bytes = q.item_bytes
        y = self._causal(spec, q, k, v, wide) if is_causal else self._by_blocks(spec, q, k, v, wide)
        y = tape.cast(y, item_bytes)
        if spec.value_dim < wide:
            y = tape.make([y], rows * spec.num_heads * spec.value_dim, y.item_bytes)
        tape.still_holds(qkv, *unpadded)
        return tape.multiply(y, self._sigmoid(gate[0])) if gate else y

    def _sigmoid(self, x: Array) -> Array:
        return self.tape.make([x], x.numel, x.item_bytes, keep_output=True)

    def _normed(self, spec: AttentionSpec, x: Array, heads: list[int]) -> Array:
        if not spec.qk_norm:
            return x
        parts = self.tape.split(x, [self.rows * count * spec.head_dim for count in heads])
        normed = [self.norm(part, spec.head_dim) for part in parts]
        # Gradients of a concatenation are views of one tensor.
        return self.tape.make(normed, x.numel, x.item_bytes, passes_gradient=False)

    def _rotated(self, spec: AttentionSpec, x: Array) -> Array:
        if spec.rope_theta is None:
            return x
        wide = x.numel * WIDE
        # The turned channels, and where the type is narrow, all of them float32 before and after.
        scratch = wide * spec.rotary_dim // spec.head_dim + (0 if x.item_bytes == WIDE else 2 * wide)
        return self.tape.make([x], x.numel, x.item_bytes, forward=scratch, backward=scratch)

    def _causal(self, spec: AttentionSpec, q: Array, k: Array, v: Array, width: int) -> Array:
        size, sums = self.rows * spec.num_heads * width, self.rows * spec.num_heads
        if self.device == "cuda" and self.compute == WIDE:
            k, v = (self._ungrouped(spec, x) for x in (k, v))
        q, k, v = (self.tape.cast(x, self.compute) for x in (q, k, v))
        return self.tape.make([q, k, v], size, q.item_bytes, keep=(q, k, v), keep_output=True, keep_numel=sums)

    def _ungrouped(self, spec: AttentionSpec, x: Array) -> Array:
        repeats = spec.num_heads // spec.num_kv_heads
        return x if repeats == 1 else self.tape.make([x], x.numel * repeats, x.item_bytes)

    def _by_blocks(self, spec: AttentionSpec, q: Array, k: Array, v: Array, width: int) -> Array:
        """Write attention over one block of queries after another, each with a mask over the keys it may reach."""
        tape, window = self.tape, spec.window or self.tokens
        if self.device == "cuda":
            k, v = (self._ungrouped(spec, x) for x in (k, v))
        block = QUERY_BLOCK[self.device]
        longest = min(self.num_meta_tokens + window + block, self.tokens)
        is_one = self.tokens <= 2 * block
        again = not is_one and self.tokens * longest > LARGEST_KEPT_MASK
        if is_one:
            block = self.tokens
        blocks = []
        for start in range(0, self.tokens, block):
            stop = min(start + block, self.tokens)
            low = max(start - window + 1, self.num_meta_tokens)
            num_keys = self.num_meta_tokens + max(low, stop) - low
            queries = tape.slice(q, q.numel // self.tokens * (stop - start))
            keys, values = (self._reached(x, low=low, num_keys=num_keys) for x in (k, v))
            queries, keys, values = (tape.cast(x, self.compute) for x in (queries, keys, values))
            mask = Array((stop - start) * num_keys, q.item_bytes)
            sums = self.batch_size * (stop - start) * spec.num_heads
            numel = self.batch_size * (stop - start) * spec.num_heads * width
            inside = mask.num_bytes + keys.num_bytes + values.num_bytes if again else 0
            blocks.append(
                tape.make(
                    [queries, keys, values],
                    numel,
                    self.compute,
                    keep=(q, k, v) if again else (queries, keys, values, mask),
                    keep_output=not again,
                    keep_numel=0 if again else sums,
                    # Masks are booleans first.
                    forward=inside + mask.numel,
                    backward=inside,
                )
            )
        if is_one:
            return blocks[0]
        # The gradient of each block is a view of that of all.
        y = tape.make(blocks, self.rows * spec.num_heads * width, self.compute, passes_gradient=True)
        # Heads come before tokens in it, and are laid side by side in another.
        return tape.make([y], y.numel, y.item_bytes, passes_gradient=True)

    def _reached(self, x: Array, *, low: int, num_keys: int) -> Array:
        """Write what a block of queries sees: keys from `low` on and the meta tokens, of `num_keys` tokens in all."""
        token, meta = x.numel // self.tokens, self.num_meta_tokens
        if low <= meta:
            return self.tape.slice(x, token * num_keys)
        # The two are put side by side, without meta tokens as well.
        parts = [self.tape.slice(x, token * count) for count in (meta, num_keys - meta) if count]
        return self.tape.make(parts, token * num_keys, x.item_bytes, passes_gradient=True)

    def _convolution(self, x: Array, channels: int, width: int) -> tuple[Array, Array]:
        """Write the short convolution with its activation, float32; return it and what the history is a view of."""
        padded = self.batch_size * (self.tokens + width - 1) * channels
        joined = self.tape.make([x], padded, x.item_bytes, passes_gradient=True)
        wide = self.tape.cast(joined, WIDE)
        scratch = 2 * x.numel * WIDE
        convolved = self.tape.make([wide], x.numel, WIDE, keep=(wide,), keep_numel=x.numel, backward=scratch)
        return convolved, joined

    def _mamba1(self, spec: Mamba1Spec, xz: Array) -> Array:
        tape, rows, inner = self.tape, self.rows, self.rows * spec.inner_size
        x, z = tape.split(xz, [inner, inner])
        convolved, joined = self._convolution(x, spec.inner_size, spec.conv_width)
        widths = [spec.dt_rank, spec.state_size, spec.state_size]
        selected = self.linear(convolved, spec.inner_size, sum(widths))
        parts = tape.split(selected, [rows * width for width in widths])
        if spec.inner_norms:
            parts = [self.norm(part, width) for part, width in zip(parts, widths, strict=True)]
        bare = tape.cast(self.linear(parts[0], spec.dt_rank, spec.inner_size), WIDE)
        biased = tape.make([bare], inner, WIDE, passes_gradient=True)
        dt = tape.make([biased], inner, WIDE, keep=(biased,))
        b, c = (tape.cast(part, WIDE) for part in parts[1:])
        u = tape.multiply(dt, convolved)
        states = inner * spec.state_size
        # With one sequence, time comes first already.
        swapped = 0 if self.batch_size == 1 else 2 * inner
        y = tape.make(
            [u, dt, b, c],
            inner,
            WIDE,
            keep=(u, dt, b, c) if self.batch_size == 1 else (),
            keep_numel=2 * states + states // self.tokens + swapped,
            forward=swapped // 2 * WIDE,
            backward=3 * states * WIDE + swapped * WIDE,
        )
        skip = tape.make([convolved], inner, WIDE, keep=(convolved,), backward=inner * WIDE)
        y = tape.cast(tape.make([y, skip], inner, WIDE, passes_gradient=True), x.item_bytes)
        tape.still_holds(xz, joined)
        return tape.multiply(y, self._silu(z))

    def _mamba2(self, spec: Mamba2Spec, zxbcdt: Array) -> Array:
        tape, rows, inner = self.tape, self.rows, self.rows * spec.inner_size
        widths = _mamba2_widths(spec)
        z, xbc, dt = tape.split(zxbcdt, [rows * width for width in widths])
        convolved, joined = self._convolution(xbc, widths[1], spec.conv_width)
        group = rows * spec.num_groups * spec.state_size
        x, b, c = tape.split(convolved, [inner, group, group])
        dt = tape.cast(dt, WIDE)
        dt = tape.make([dt], dt.numel, WIDE, keep=(dt,))
        y = self._mamba2_scan(spec, x, b, c, dt)
        skip = tape.make([x], inner, WIDE, keep=(x,), backward=inner * WIDE)
        y = tape.cast(tape.make([y, skip], inner, WIDE, passes_gradient=True), z.item_bytes)
        tape.still_holds(zxbcdt, joined)
        gated = tape.multiply(tape.cast(y, WIDE), self._silu(tape.cast(z, WIDE)))
        return tape.cast(self._wide_norm(gated, spec.inner_size // spec.num_groups), z.item_bytes)

    def _mamba2_scan(self, spec: Mamba2Spec, x: Array, b: Array, c: Array, dt: Array) -> Array:
        tape, inner = self.tape, x.numel
        chunks, length = _chunks(self.tokens, MAMBA2_CHUNK)
        padded = self.batch_size * chunks * length
        wide_x, pairs = padded * spec.inner_size, padded * spec.num_heads * length
        scaled = tape.multiply(x, dt)
        if padded != self.rows:
            scaled = tape.make([scaled], wide_x, WIDE)
            b, c = (tape.make([part], padded * spec.num_groups * spec.state_size, WIDE) for part in (b, c))
        # Groups come before tokens in what is multiplied; with one group that is a view, else each product has a copy.
        scores_of = [self._grouped(spec, part) for part in (c, b)]
        scores = tape.make(scores_of, padded * spec.num_groups * length, WIDE, keep=scores_of)
        scores = tape.make([scores], scores.numel, WIDE)
        # The differences of running sums are float64 before they are rounded.
        weights = tape.make(
            [scores], pairs, WIDE, keep=(scores,), keep_numel=pairs, forward=pairs * WIDE, backward=pairs * WIDE
        )
        by_head = tape.make([scaled], wide_x, WIDE, passes_gradient=True)
        within = tape.make([weights, by_head], wide_x, WIDE, keep=(weights, by_head))
        to_end = tape.make([scaled], wide_x, WIDE, keep=(scaled,), backward=wide_x * WIDE)
        states = self.batch_size * chunks * spec.inner_size * spec.state_size
        added_of = [self._grouped(spec, part) for part in (b, to_end)]
        added = tape.make(added_of, states, WIDE, keep=added_of)
        before = tape.make([added], states, WIDE, keep_output=True, keep_numel=states // chunks, backward=states * WIDE)
        carried_of = [self._grouped(spec, c), before]
        if self.batch_size > 1:
            carried_of[1] = tape.make([before], states, WIDE)
        carried = tape.make(carried_of, wide_x, WIDE, keep=carried_of)
        # Heads are put behind tokens again.
        by_token = carried if spec.num_groups == spec.num_heads else self._grouped(spec, carried)
        scaled_back = tape.make([by_token], wide_x, WIDE, keep=(by_token,), backward=wide_x * WIDE)
        y = tape.make([within, scaled_back], wide_x, WIDE, passes_gradient=True)
        joined = y if padded == self.rows else tape.make([y], inner, WIDE)
        tape.still_holds(scaled, b, c, to_end, added, within, carried, y)
        return joined

    def _grouped(self, spec: Mamba2Spec, x: Array) -> Array:
        """Write a tensor with groups before tokens, contiguous: with one group it is so already."""
        return x if spec.num_groups == 1 else self.tape.make([x], x.numel, x.item_bytes, passes_gradient=True)

    def _delta(self, spec: DeltaNetSpec | GatedDeltaNetSpec, h: Array) -> Array:
        tape, rows = self.tape, self.rows
        if isinstance(spec, GatedDeltaNetSpec):
            key_heads, heads, value_dim, num_small = spec.num_heads, spec.value_heads, spec.value_dim, 2
        else:
            key_heads, heads, value_dim, num_small = spec.num_heads, spec.num_heads, spec.head_dim, 1
        keys, inner = rows * key_heads * spec.head_dim, rows * heads * value_dim
        streams = (2 * keys + inner) // rows
        widths = [rows * streams, rows * heads * num_small, *([inner] if spec.output_gate else [])]
        projected = self.linear(h, self.hidden_size, sum(widths) // rows)
        qkv, small, *gate = tape.split(projected, widths)
        convolved, joined = self._convolution(qkv, streams, spec.conv_width)
        q, k, v = tape.split(convolved, [keys, keys, inner])
        small = tape.cast(small, WIDE)
        q, k = self._unit(q, spec.head_dim), self._unit(k, spec.head_dim)
        q = tape.make([q], q.numel, WIDE)
        if heads > key_heads:
            q, k = (tape.make([x], x.numel // key_heads * heads, WIDE) for x in (q, k))
        y = self._delta_scan(q, k, v, small, heads=heads, decays=isinstance(spec, GatedDeltaNetSpec))
        y = tape.cast(y, qkv.item_bytes)
        tape.still_holds(projected, joined, q, k)
        if not gate:
            return self.norm(y, value_dim)
        normed = self.norm(tape.cast(y, WIDE), value_dim)
        return tape.cast(tape.multiply(normed, self._silu(tape.cast(gate[0], WIDE))), qkv.item_bytes)

    def _unit(self, x: Array, width: int) -> Array:
        square = self.tape.make([x], x.numel // width, WIDE, keep=(x,), forward=x.numel * WIDE, backward=x.numel * WIDE)
        return self.tape.multiply(x, square)

    def _delta_scan(self, q: Array, k: Array, v: Array, beta: Array, *, heads: int, decays: bool) -> Array:
        tape = self.tape
        chunks, length = _chunks(self.tokens, DELTA_CHUNK)
        padded = self.batch_size * chunks * length

        def chunked(x: Array) -> Array:
            return tape.make([x], padded * (x.numel // self.rows), WIDE)

        values = v.numel
        key_dim, value_dim = q.numel // self.rows // heads, v.numel // self.rows // heads
        q, k, v = chunked(q), chunked(k), chunked(v)
        beta = tape.make([beta], padded * heads, WIDE)
        pairs = padded * heads * length
        strong = tape.multiply(k, beta)
        overlap = tape.make([strong, k], pairs, WIDE, keep=(strong, k))
        scores = tape.make([q, k], pairs, WIDE, keep=(q, k))
        reading, recalling, writing = q, k, k
        if decays:
            between = tape.make(
                [beta], pairs, WIDE, keep_output=True, keep_numel=pairs, forward=pairs * WIDE, backward=2 * pairs * WIDE
            )
            overlap, scores = tape.multiply(overlap, between), tape.multiply(scores, between)
            small = tape.make([beta], padded * heads, WIDE, keep_output=True)
            reading, recalling, writing = (tape.multiply(x, small) for x in (q, k, k))
        solve = tape.make([overlap], pairs, WIDE, keep_output=True, backward=2 * pairs * WIDE)
        solve = tape.multiply(solve, beta)
        u = tape.make([solve, v], padded * heads * value_dim, WIDE, keep=(solve, v))
        w = tape.make([solve, recalling], padded * heads * key_dim, WIDE, keep=(solve, recalling))
        states = self.batch_size * chunks * heads * key_dim * value_dim
        before = tape.make(
            [u, w, writing],
            states,
            WIDE,
            keep=(w, writing),
            keep_output=True,
            backward=(states + (states if decays else 0)) * WIDE,
        )
        error = tape.make([before], padded * heads * value_dim, WIDE, keep_output=True)
        recalled = tape.make([reading, before], error.numel, WIDE, keep=(reading, before))
        masked = tape.make([scores], pairs, WIDE)
        within = tape.make([masked, error], error.numel, WIDE, keep=(masked, error))
        y = tape.make([recalled, within], error.numel, WIDE, passes_gradient=True)
        joined = tape.make([y], values, WIDE)
        tape.still_holds(u, solve, scores, overlap, y)
        return joined

    def _hybrid(self, spec: HybridHeadSpec, h: Array, *, index: int) -> Array:
        tape, inner = self.tape, self.rows * spec.ssm.inner_size
        attention = sum(_attention_widths(spec.attention))
        ssm = 2 * spec.ssm.inner_size if isinstance(spec.ssm, Mamba1Spec) else sum(_mamba2_widths(spec.ssm))
        joint = self.linear(h, self.hidden_size, attention + ssm)
        qkv, rest = tape.split(joint, [self.rows * attention, self.rows * ssm])
        if spec.attention.bias:
            qkv = tape.make([qkv], qkv.numel, WIDE)
        attended = self._attention(spec.attention, qkv, index=index)
        if isinstance(spec.ssm, Mamba1Spec):
            scanned = self.norm(self._mamba1(spec.ssm, rest), spec.ssm.inner_size)
        else:
            scanned = self._mamba2(spec.ssm, rest)
        both = tape.add(self.norm(attended, spec.ssm.inner_size), scanned)
        return tape.make([both], inner, both.item_bytes)


def _attention_widths(spec: AttentionSpec) -> list[int]:
    queries = spec.num_heads * spec.head_dim
    own = [spec.num_kv_heads * spec.head_dim, spec.num_kv_heads * spec.value_dim]
    gate = [spec.num_heads * spec.value_dim] if spec.output_gate else []
    return [queries, *(own if spec.shares_kv_with is None else []), *gate]


def _mamba2_widths(spec: Mamba2Spec) -> list[int]:
    return [spec.inner_size, spec.inner_size + 2 * spec.num_groups * spec.state_size, spec.num_heads]


def _chunks(tokens: int, longest: int) -> tuple[int, int]:
    """Return how many chunks `tokens` are cut into, and their length."""
    count = -(-tokens // longest)
    return count, -(-tokens // count)
