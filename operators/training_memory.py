"""The peak memory of one training step of an architecture, stated without running it.

It describes short training: float32 weights, autocast of the forward pass, AdamW, the loss over all logits at once,
and the torch backends on whole rows (`operator_tapes.py`). Needs no torch. Held against the tensors alive in such a
step of random models of every operator, it is within a tenth, but for a model of nothing but windowed attention behind
meta tokens with values wider than keys: there up to 11 % too low, since gradients of blocks are added one by one.

What kernels allocate for themselves, libraries' workspaces and the fragmentation of an allocator are not in it;
compiled models, packed documents and the fused kernels of fla and mamba-ssm take another peak, which is not stated.
"""

from dataclasses import dataclass
from typing import Final, Literal

from operators.cost import OwnSpec, num_parameters, operator_parameters
from operators.memory_tape import Array, Tape
from operators.operator_tapes import WIDE, Writer
from search_spaces.architecture import Architecture
from search_spaces.errors import SpecError
from search_spaces.specs import FlaSpec, kv_source

WEIGHT_BYTES: Final = 4
MOMENT_BYTES: Final = 8
"""Of one parameter: weights, gradients and both moments of AdamW are float32."""

Moment = Literal["forward", "loss", "backward", "embedding", "update"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMemory:
    """Bytes of one training step; the parts are each at its largest, which is not at one time."""

    weights: int
    """Parameters, float32."""

    moments: int
    """Both moments of AdamW, float32."""

    gradients: int
    """Of all parameters, float32, once the backward pass is over."""

    checkpoints: int
    """The stream before each operator, and shared keys and values; without checkpointing all that operators keep for
    the backward pass."""

    largest_operator: int
    """What the most demanding operator takes while it is computed again and differentiated, gradients included; without
    checkpointing what the backward pass through all operators takes beside `checkpoints`."""

    loss: int
    """Logits, loss and their gradients, with those of the final norm and the head."""

    total: int
    """The peak of the step."""

    moment: Moment
    """When it is reached: in the forward pass of the operators, around the loss, in the backward pass of an operator,
    at the gradient of the embedding, or when weights are updated."""


def training_memory(
    architecture: Architecture,
    *,
    batch_size: int,
    num_tokens: int,
    compute_dtype_bytes: int = 2,
    checkpointing: bool = True,
    device: Literal["cpu", "cuda"] = "cuda",
) -> TrainingMemory:
    """Return the peak memory of a training step once AdamW has its moments, that is from the second on.

    Args:
        architecture: What is trained.
        batch_size: Sequences of a step.
        num_tokens: Tokens of a sequence, meta tokens not counted.
        compute_dtype_bytes: Bytes of a number in the forward pass: 2 with autocast to bfloat16, 4 without autocast.
        checkpointing: Whether only the stream between operators is kept.
        device: Whose forms of norms and attention run.

    Raises:
        SpecError: a size that is not positive, a dtype of another size, or a layer of fla.
    """
    _check(architecture, batch_size=batch_size, num_tokens=num_tokens, compute_dtype_bytes=compute_dtype_bytes)
    step = _Step(
        architecture=architecture,
        batch_size=batch_size,
        num_tokens=num_tokens,
        compute=compute_dtype_bytes,
        device=device,
    )
    return step.checkpointed() if checkpointing else step.whole()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    architecture: Architecture
    batch_size: int
    num_tokens: int
    compute: int
    device: str

    @property
    def rows(self) -> int:
        return self.batch_size * (self.num_tokens + self.architecture.num_meta_tokens)

    @property
    def stream(self) -> int:
        """Numbers of the residual stream, which is float32."""
        return self.rows * self.architecture.hidden_size

    @property
    def logits(self) -> int:
        return self.batch_size * self.num_tokens * self.architecture.vocab_size

    @property
    def matrix(self) -> int:
        """Parameters of the embedding, and of the head."""
        return self.architecture.vocab_size * self.architecture.hidden_size

    def checkpointed(self) -> TrainingMemory:
        """Return the memory where each operator is computed again before it is differentiated."""
        specs = self._specs()
        tapes: list[Tape] = []
        key_values: dict[int, tuple[Array, Array]] = {}
        for index, spec in enumerate(specs):
            tape = Tape()
            writer = self._writer(tape)
            writer.key_values = key_values
            writer.residual(spec, tape.given(self.stream, WIDE), index=index)
            tapes.append(tape)
        checkpoints = [self.stream * WIDE] * len(specs)
        waiting = [0] * len(specs)
        # Shared keys and values are the whole call's, so they stay until the first operator is differentiated.
        shared = 0
        for source, last in self._shared().items():
            arrays = key_values[source]
            shared += sum(storage.num_bytes for storage in {array.storage for array in arrays})
            # Gradients of shared keys and values wait for the operator that made these.
            for index in range(source, last):
                waiting[index] += sum(array.num_bytes for array in arrays)
        width = self.architecture.hidden_size
        gradients = [operator_parameters(spec, hidden_size=width) * WEIGHT_BYTES for spec in specs]
        # Autocast keeps its copies of weights until the forward pass is over.
        copies = 0 if self.compute == WIDE else self.compute * sum(gradients) // WEIGHT_BYTES
        loss_tape = self._loss_tape()
        working = [tape.recomputed_peak() for tape in tapes]
        done = self._head_gradients()
        behind = []
        for index in range(len(specs) - 1, -1, -1):
            behind.append(shared + sum(checkpoints[: index + 1]) + waiting[index] + working[index] + done)
            done += gradients[index]
        forward = max(tape.forward_peak(keeps=False) for tape in tapes)
        every = shared + sum(checkpoints)
        loss = loss_tape.backward_peak()
        return self._memory(
            checkpoints=every,
            largest_operator=max(working),
            loss=loss,
            forward=max(forward + every + copies, every + copies + loss_tape.forward_peak(keeps=True)),
            at_loss=every + loss,
            backward=max(behind),
        )

    def whole(self) -> TrainingMemory:
        """Return the memory where everything is kept until it is differentiated."""
        tape = Tape()
        writer = self._writer(tape)
        x = tape.make([], self.stream, WIDE)
        for index, spec in enumerate(self._specs()):
            x = writer.residual(spec, x, index=index)
        kept = tape.kept_bytes
        operators = tape.backward_peak() + self._head_gradients()
        forward = tape.forward_peak(keeps=True)
        loss_tape = self._loss_tape()
        loss = loss_tape.backward_peak()
        return self._memory(
            checkpoints=kept,
            largest_operator=tape.backward_peak() - kept,
            loss=loss,
            forward=max(forward, kept + loss_tape.forward_peak(keeps=True)),
            at_loss=kept + loss,
            backward=operators,
        )

    def _memory(
        self, *, checkpoints: int, largest_operator: int, loss: int, forward: int, at_loss: int, backward: int
    ) -> TrainingMemory:
        parameters = num_parameters(self.architecture)
        gradients = parameters * WEIGHT_BYTES
        weights, moments = parameters * WEIGHT_BYTES, parameters * MOMENT_BYTES
        second = self.matrix * WEIGHT_BYTES if self.architecture.tie_embeddings else 0
        peaks: dict[Moment, int] = {
            "forward": forward,
            "loss": at_loss,
            "backward": backward,
            # A tied embedding's gradient as a head waits for the one as an embedding.
            "embedding": gradients + second + self.stream * WIDE,
            "update": gradients,
        }
        moment = max(peaks, key=lambda name: peaks[name])
        return TrainingMemory(
            weights=weights,
            moments=moments,
            gradients=gradients,
            checkpoints=checkpoints,
            largest_operator=largest_operator,
            loss=loss,
            total=weights + moments + peaks[moment],
            moment=moment,
        )

    def _loss_tape(self) -> Tape:
        tape = Tape()
        writer = self._writer(tape)
        x = writer.norm(tape.make([], self.stream, WIDE), self.architecture.hidden_size)
        if self.architecture.num_meta_tokens:
            width = self.batch_size * self.num_tokens * self.architecture.hidden_size
            (x,) = tape.split(x, [width])
        logits = writer.linear(x, self.architecture.hidden_size, self.architecture.vocab_size)
        wide = tape.cast(logits, WIDE)
        log_probabilities = tape.make([wide], self.logits, WIDE, keep_output=True)
        tape.make([log_probabilities], 1, WIDE)
        return tape

    def _head_gradients(self) -> int:
        return (self.matrix + self.architecture.hidden_size) * WEIGHT_BYTES

    def _writer(self, tape: Tape) -> Writer:
        return Writer(
            tape=tape,
            hidden_size=self.architecture.hidden_size,
            batch_size=self.batch_size,
            tokens=self.num_tokens + self.architecture.num_meta_tokens,
            num_meta_tokens=self.architecture.num_meta_tokens,
            compute=self.compute,
            device=self.device,
        )

    def _shared(self) -> dict[int, int]:
        """Return the operators whose keys and values others share, each with the last of those."""
        sources = [(kv_source(spec), index) for index, spec in enumerate(self._specs())]
        return {source: index for source, index in sources if source is not None}

    def _specs(self) -> list[OwnSpec]:
        return [spec for spec in self.architecture.operators if not isinstance(spec, FlaSpec)]


def _check(architecture: Architecture, *, batch_size: int, num_tokens: int, compute_dtype_bytes: int) -> None:
    for name, value in (("batch_size", batch_size), ("num_tokens", num_tokens)):
        if value < 1:
            raise SpecError(f"{name} must be at least 1; got {value}.")
    if compute_dtype_bytes not in (2, 4):
        raise SpecError(f"compute_dtype_bytes must be 2 (bfloat16) or 4 (float32); got {compute_dtype_bytes}.")
    for index, spec in enumerate(architecture.operators):
        if isinstance(spec, FlaSpec):
            raise SpecError(
                f"The training memory of layers of fla is not known; got {spec.letter} at operators[{index}]. "
                "Measure it on a GPU instead."
            )
