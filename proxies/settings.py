"""How a model is trained: steps, batches, optimizer, validation and where it runs. Not the model and not the text."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from proxies.errors import SettingsError
from search_spaces.errors import SpecError, near_miss
from search_spaces.strict import from_mapping

TrainingDtype = Literal["auto", "float32", "bfloat16"]
OptimizerName = Literal["adamw", "muon"]
Schedule = Literal["cosine", "warmup_stable_decay"]
Sampling = Literal["random", "epochs"]

_COUNTS = ("steps", "batch_size", "sequence_tokens", "validation_sequences", "num_threads", "num_micro_batches")
_OPTIONAL_COUNTS = ("validation_every", "num_processes", "base_width")
_FRACTIONS = ("warmup_fraction", "final_learning_rate_fraction", "decay_fraction")
_CHOICES = {"dtype": TrainingDtype, "optimizer": OptimizerName, "schedule": Schedule, "sampling": Sampling}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """Settings of a training run; the defaults suit byte-level models of width 64 to 128 on a CPU core."""

    steps: int = 300
    """Optimizer steps, or the most of them where `flops` bounds a run."""

    flops: float | None = None
    """Arithmetic a run may take, forward and backward: larger models then train for fewer steps; none: all train for
    `steps`."""

    batch_size: int = 2
    """Sequences a step. Small batches win at equal wall time when runs are short."""

    sequence_tokens: int = 256
    sampling: Sampling = "random"
    """Sequences of a batch start anywhere; those of `epochs` do not overlap, and each comes once before any again."""

    reset_at_documents: bool = False
    """Read each document of a sequence as if it stood alone, in training and in validation; else what stands before is
    seen across its end."""

    num_micro_batches: int = 1
    """Parts of a batch that are run one after the other, their gradients added up: less memory, the same step."""

    optimizer: OptimizerName = "adamw"
    """`muon` orthogonalises the updates of matrices, at steps as long as AdamW's; AdamW trains the rest."""

    learning_rate: float = 5e-3
    """At the end of the warm-up."""

    base_width: int | None = None
    """Model width at which `learning_rate` was found; matrices of other widths learn in inverse proportion. None: all
    learn at `learning_rate`."""

    schedule: Schedule = "cosine"
    """How the learning rate falls after the warm-up; `warmup_stable_decay` stays at the peak, then falls linearly."""

    decay_fraction: float = 0.2
    """Share of the steps over which `warmup_stable_decay` falls."""

    warmup_fraction: float = 0.05
    """Share of the steps over which the learning rate rises linearly."""

    final_learning_rate_fraction: float = 0.1
    """Where the schedule ends, as a share of `learning_rate`."""

    weight_decay: float = 0.1
    """Of matrices only: never of embeddings, norms, biases and other vectors."""

    betas: tuple[float, float] = (0.9, 0.95)
    clip_norm: float = 1.0
    """Largest global norm of the gradients."""

    validation_sequences: int = 64
    """Of `sequence_tokens` each; fewer where the validation split holds fewer."""

    validation_every: int | None = None
    """Steps between validations; none means once, at the end."""

    num_threads: int = 1
    """CPU threads of torch, in each process."""

    num_processes: int | None = None
    """Processes that share each batch, on one GPU each or all on the CPU; none means one for each whole GPU that a
    candidate of a search holds, else one. The batch stays that of all together."""

    dtype: TrainingDtype = "auto"
    """Arithmetic of the forward pass (parameters stay float32); auto is bfloat16 on GPUs that have it, else float32."""

    weight_normalization: bool = False
    """Give rows and columns on the residual stream length 1 after every step [NF 2.4]; excludes weight decay."""

    activation_checkpointing: bool = False
    """Keep only the stream between operators and compute their insides once more: less memory, more time."""

    compile: bool = False
    """Train the model as torch.compile makes it: faster on a GPU after a minute or so, not worth it on a CPU."""

    device: str = "auto"
    """A torch device; auto is the GPU where there is one, else the CPU."""

    def __post_init__(self) -> None:
        for name in (*_COUNTS, *_OPTIONAL_COUNTS):
            value = getattr(self, name)
            if name in _OPTIONAL_COUNTS and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise SettingsError(f"training.{name} must be a whole number of at least 1; got {value!r}.")
        for name in ("learning_rate", "clip_norm"):
            self._check(name, positive=True)
        for name in ("weight_decay", *_FRACTIONS):
            self._check(name, positive=False)
        for name in _FRACTIONS:
            if getattr(self, name) > 1:
                raise SettingsError(f"training.{name} is a share and at most 1; got {getattr(self, name)!r}.")
        for name in ("reset_at_documents", "weight_normalization", "activation_checkpointing", "compile"):
            if not isinstance(getattr(self, name), bool):
                raise SettingsError(f"training.{name} must be true or false; got {getattr(self, name)!r}.")
        if self.weight_normalization and self.weight_decay:
            raise SettingsError(
                "training.weight_normalization takes the place of weight decay; got both, weight_decay "
                f"{self.weight_decay:g}. Set training.weight_decay to 0."
            )
        betas = tuple(self.betas)
        if len(betas) != 2 or not all(isinstance(beta, float) and 0 <= beta < 1 for beta in betas):
            raise SettingsError(f"training.betas must be two numbers in [0, 1); got {self.betas!r}. Usual: 0.9, 0.95.")
        object.__setattr__(self, "betas", betas)
        for name, choice in _CHOICES.items():
            value, known = getattr(self, name), get_args(choice)
            if value not in known:
                raise SettingsError(f"training.{name} is unknown: {value!r}.{near_miss(str(value), known)}")
        if self.flops is not None:
            self._check("flops", positive=True)
        if not isinstance(self.device, str) or not self.device:
            raise SettingsError(f"training.device must name a device, as in auto, cpu or cuda:0; got {self.device!r}.")
        self._check_processes()
        per_process = self.batch_size // (self.num_processes or 1)
        if per_process % self.num_micro_batches:
            raise SettingsError(
                f"training.num_micro_batches must divide the {per_process} sequences of a batch that a process takes; "
                f"got {self.num_micro_batches}."
            )

    def _check_processes(self) -> None:
        count = self.num_processes
        if count is None or count == 1:
            return
        if self.batch_size % count:
            smaller = self.batch_size // count * count
            nearest = f"{smaller}, {smaller + count}" if smaller else f"{count}"
            raise SettingsError(
                f"training.batch_size must be a multiple of the {count} processes that share each batch; "
                f"got {self.batch_size!r}. Nearest: {nearest}. Or set training.num_processes."
            )
        if self.device not in ("auto", "cpu", "cuda"):
            raise SettingsError(
                f"training.device must be auto, cpu or cuda where {count} processes train together, each on a GPU of "
                f"its own or all on the CPU; got {self.device!r}."
            )

    def _check(self, name: str, *, positive: bool) -> None:
        value = getattr(self, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or value < 0 or (positive and value == 0):
            bound = "positive" if positive else "zero or positive"
            raise SettingsError(f"training.{name} must be a {bound} number; got {value!r}.")
        object.__setattr__(self, name, float(value))

    @property
    def warmup_steps(self) -> int:
        """Steps of rising learning rate, at least one."""
        return max(1, round(self.warmup_fraction * self.steps))

    @property
    def tokens_per_step(self) -> int:
        """Tokens predicted in one step."""
        return self.batch_size * self.sequence_tokens

    @property
    def total_tokens(self) -> int:
        """Tokens a run sees that does not diverge."""
        return self.steps * self.tokens_per_step

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping that `from_dict` reads back unchanged."""
        return {**asdict(self), "betas": list(self.betas)}

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "TrainingSettings":
        """Read what `to_dict` wrote; fields left out keep their default.

        Raises:
            SettingsError: an unknown field, naming the near miss, or a value out of range.
        """
        try:
            return from_mapping(cls, mapping, where="training")
        except SpecError as error:
            raise SettingsError(str(error)) from error
