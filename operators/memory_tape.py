"""How much memory a stretch of autograd takes, from what every operation makes, keeps and needs meanwhile.

A tape is written by functions that read like the forward code they describe. It knows sizes only: no values, no torch.
Freed is what nothing needs any more: a tensor after the last operation that reads it or keeps it for the backward pass,
a gradient once the operation that made its tensor has used it, a parameter's gradient never.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """A tensor's size; views share the storage of their base."""

    numel: int
    item_bytes: int
    base: "Array | None" = None
    is_parameter: bool = False

    @property
    def num_bytes(self) -> int:
        """Bytes of its elements, which are also those of its gradient."""
        return self.numel * self.item_bytes

    @property
    def storage(self) -> "Array":
        """What its memory belongs to."""
        return self if self.base is None else self.base.storage


@dataclass(frozen=True, slots=True)
class _Operation:
    inputs: Sequence[Array]
    outputs: Sequence[Array]
    kept: Sequence[Array]
    passes_gradient: bool
    forward_scratch: int
    backward_scratch: int


@dataclass(slots=True, eq=False)
class _Gradient:
    num_bytes: int
    holders: int = 0


@dataclass(slots=True)
class Tape:
    """Operations in the order they run."""

    _operations: list[_Operation] = field(default_factory=list)
    _given: set[Array] = field(default_factory=set)

    def given(self, numel: int, item_bytes: int) -> Array:
        """Return an input whose memory someone else accounts for; its gradient is counted here."""
        array = Array(numel, item_bytes)
        self._given.add(array)
        return array

    def parameter(self, numel: int) -> Array:
        """Return a float32 parameter."""
        array = Array(numel, 4, is_parameter=True)
        self._given.add(array)
        return array

    def has_made(self, array: Array) -> bool:
        """Whether an operation of this tape returns it."""
        return any(array in operation.outputs for operation in self._operations)

    def borrow(self, array: Array) -> None:
        """Note that the memory of another tape's array is accounted for there."""
        self._given.add(array.storage)

    def make(
        self,
        inputs: Sequence[Array],
        numel: int,
        item_bytes: int,
        *,
        keep: Iterable[Array] = (),
        keep_output: bool = False,
        keep_numel: int = 0,
        forward: int = 0,
        backward: int = 0,
        passes_gradient: bool = False,
    ) -> Array:
        """Note an operation and return what it makes.

        Args:
            inputs: What it reads and has a gradient for.
            numel: Elements of its result.
            item_bytes: Bytes of one of them.
            keep: What its backward pass needs of what exists already.
            keep_output: Whether it needs the result as well.
            keep_numel: Float32 numbers it keeps beside all that.
            forward: Bytes it allocates meanwhile and frees.
            backward: Bytes its backward pass allocates and frees beside the gradients of its inputs.
            passes_gradient: Whether the gradients of its inputs are that of the result, not copied.
        """
        output = Array(numel, item_bytes)
        own = [Array(keep_numel, 4)] if keep_numel else []
        kept = [*keep, *own, *([output] if keep_output else [])]
        self._operations.append(_Operation(inputs, [output], kept, passes_gradient, forward, backward))
        return output

    def split(self, x: Array, numels: Sequence[int]) -> list[Array]:
        """Return views that make up a tensor; the backward pass puts their gradients together in a new one."""
        parts = [Array(numel, x.item_bytes, base=x) for numel in numels]
        self._operations.append(_Operation([x], parts, [], False, 0, 0))
        return parts

    def slice(self, x: Array, numel: int) -> Array:
        """Return a view of a part; the backward pass puts its gradient into zeros of the whole's size."""
        return self.split(x, [numel])[0]

    def still_holds(self, *arrays: Array) -> None:
        """Note that the running function holds some tensors up to here, whoever has read them last."""
        self._operations.append(_Operation(arrays, [], [], False, 0, 0))

    def cast(self, x: Array, item_bytes: int) -> Array:
        """Return the same numbers in a type of another size, or x itself."""
        return x if x.item_bytes == item_bytes else self.make([x], x.numel, item_bytes)

    def add(self, x: Array, y: Array) -> Array:
        """Return a sum, which keeps nothing and copies no gradient of its own type."""
        wide, narrow = (x, y) if x.item_bytes >= y.item_bytes else (y, x)
        return self.make([wide, self.cast_gradient(narrow, wide)], wide.numel, wide.item_bytes, passes_gradient=True)

    def cast_gradient(self, x: Array, like: Array) -> Array:
        """Return a tensor that an operation reads in another type without a copy; its gradient is cast."""
        if x.item_bytes == like.item_bytes:
            return x
        view = Array(x.numel, like.item_bytes, base=x)
        self._operations.append(_Operation([x], [view], [], False, 0, 0))
        return view

    def multiply(self, x: Array, y: Array) -> Array:
        """Return an elementwise product; y may be one number to many of x's, and then costs a product to reduce."""
        backward = x.num_bytes if y.numel < x.numel else 0
        return self.make([x, y], x.numel, x.item_bytes, keep=(x, y), backward=backward)

    @property
    def kept_bytes(self) -> int:
        """Bytes that wait for the backward pass."""
        kept = {array.storage for operation in self._operations for array in operation.kept}
        return sum(array.num_bytes for array in kept - self._given)

    def forward_peak(self, *, keeps: bool, num_operations: int | None = None) -> int:
        """Return the most bytes at once while running forward.

        Args:
            keeps: Whether what the backward pass needs stays.
            num_operations: How many operations run; all of them unless told.
        """
        last: dict[Array, int] = {}
        for index, operation in enumerate(self._operations):
            for array in (*operation.inputs, *operation.outputs, *(operation.kept if keeps else ())):
                last[array.storage] = (
                    len(self._operations)
                    if keeps and array in operation.kept
                    else max(index, last.get(array.storage, 0))
                )
        live: set[Array] = set()
        peak = 0
        for index, operation in enumerate(self._operations[:num_operations]):
            live |= {array.storage for array in (*operation.outputs, *operation.kept)} - self._given
            peak = max(peak, sum(array.num_bytes for array in live) + operation.forward_scratch)
            live = {array for array in live if last.get(array, 0) > index}
        return peak

    def recomputed_peak(self) -> int:
        """Return the most bytes at once while running forward once more, keeping everything, and then backward.

        The gradient of the output is there from the start, and that of what the last operation to keep anything made,
        where it has another type. Running forward stops at that operation.
        """
        output = self._operations[-1].outputs[0]
        last = max(index for index, operation in enumerate(self._operations) if operation.kept)
        again = self.forward_peak(keeps=True, num_operations=last)
        (made,) = self._operations[last].outputs
        gradients = output.num_bytes + (0 if made.item_bytes == output.item_bytes else made.num_bytes)
        return max(again + gradients, self.backward_peak())

    def backward_peak(self) -> int:
        """Return the most bytes at once while running backward, the gradients of parameters so far among them."""
        holders: dict[Array, int] = {}
        for operation in self._operations:
            for storage in {array.storage for array in operation.kept} - self._given:
                holders[storage] = holders.get(storage, 0) + 1
        live = sum(storage.num_bytes for storage in holders)
        gradients: dict[Array, _Gradient] = {}
        output = self._operations[-1].outputs[0]
        gradients[output] = _Gradient(output.num_bytes, holders=1)
        live += output.num_bytes
        peak = live
        for operation in reversed(self._operations):
            arrived = [gradients.pop(array) for array in operation.outputs if array in gradients]
            if not arrived:
                continue
            made = [(x, arrived[0] if operation.passes_gradient else _Gradient(x.num_bytes)) for x in operation.inputs]
            live += sum(gradient.num_bytes for _, gradient in made if not gradient.holders)
            peak = max(peak, live + operation.backward_scratch)
            for x, gradient in made:
                gradient.holders += 1
                before = gradients.get(x)
                if before is None:
                    gradients[x] = gradient
                    continue
                # Added in place where nobody else holds one of the two, else into a new tensor.
                if before.holders > 1 and gradient.holders > 1:
                    total = _Gradient(x.num_bytes, holders=1)
                    live += x.num_bytes
                    peak = max(peak, live)
                    live -= _drop(before) + _drop(gradient)
                    gradients[x] = total
                else:
                    rest, gone = (before, gradient) if before.holders == 1 else (gradient, before)
                    live -= _drop(gone)
                    gradients[x] = rest
            for gradient in arrived:
                live -= _drop(gradient)
            for storage in {array.storage for array in operation.kept} - self._given:
                holders[storage] -= 1
                if not holders[storage]:
                    live -= storage.num_bytes
        return peak


def _drop(gradient: _Gradient) -> int:
    """Return the bytes freed when one holder lets go."""
    gradient.holders -= 1
    return 0 if gradient.holders else gradient.num_bytes
