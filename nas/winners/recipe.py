"""The recipe of a training: what it may say, read strictly from YAML. Not of which model, and not where it ends up.

`stages.py` says which step does what; `loop.py` does it.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from nas.config_changes import changes
from nas.errors import ConfigError
from nas.strict_config import read_strictly
from nas.winners.parallel.config import ParallelConfig
from nas.winners.tracking.trackers import TrackerName
from proxies.settings import Schedule, TrainingDtype, TrainingSettings
from proxies.sources import TOKENS, absolute_uri
from proxies.tokenizers import BYTES, absolute_name
from search_spaces.errors import near_miss

MAY_CHANGE: Final = (
    "checkpoints",
    "validation.every",
    "log_every",
    "num_threads",
    "device",
    "compile",
    "activation_checkpointing",
    "num_micro_batches",
    "learning_rate",
    "clip_norm",
    "stages",
    "parallel",
    "tracking",
)
"""What may differ when a training is continued; of stages those that have not begun, which the checkpoint decides."""

_MULTIPLES: Final = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}

_MOST_CHANGES: Final = 8


def _whole_tokens(value: Any) -> Any:
    """Read 25e9 and `25B` as whole numbers; leave the rest to the type."""
    if isinstance(value, str) and value[-1:].upper() in _MULTIPLES:
        try:
            value = float(value[:-1]) * _MULTIPLES[value[-1].upper()]
        except ValueError:
            return value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _mixture(value: Any) -> Any:
    return ({"source": value},) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


Tokens = Annotated[int, BeforeValidator(_whole_tokens), Field(ge=1)]
"""A number of tokens: whole, in exponents, or with K, M, B or T for thousands and on."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Source(_Section):
    """One text of a mixture."""

    source: str = Field(min_length=1)
    """`stdlib`, `file:PATH`, `hf:NAME:SPLIT`, or `tokens:FOLDER`."""

    weight: float = Field(default=1.0, gt=0)
    """Share of the sequences, beside those of the others."""


Mixture = Annotated[tuple[Source, ...], BeforeValidator(_mixture), Field(min_length=1)]
"""One source by its URI, or several by weight."""


class Stage(_Section):
    """A part of the training; what it does not say is the recipe's."""

    tokens: Tokens
    """Seen in this stage, rounded up to whole steps."""

    sequence_tokens: int = Field(ge=1)
    data: Mixture | None = None
    batch_tokens: Tokens | None = None
    batch_size: int | None = Field(default=None, ge=1)
    num_micro_batches: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak of a schedule of this stage's own, over its own tokens; by default the stage is a part of the training's."""


class ValidationConfig(_Section):
    """How often the model is validated, and on how much."""

    every: int | None = Field(default=None, ge=1)
    """Steps between validations; none: only at the end."""

    sequences: int = Field(default=64, ge=1)
    """In all, shared among the sources by their weights; fewer where a source holds fewer."""

    sequence_tokens: int | None = Field(default=None, ge=1)
    """Of the sequences; those of the first stage if not said."""


class CheckpointsConfig(_Section):
    """When the state of the training is written, beside at its end and at an interrupt."""

    every_steps: int | None = Field(default=None, ge=1)
    every_minutes: float | None = Field(default=30.0, gt=0)
    keep: int = Field(default=2, ge=1)
    """The newest ones; older ones go once a newer one is whole."""


class DistillationConfig(_Section):
    """A larger model that the trained one learns from beside the text [arXiv 1503.02531]."""

    teacher: str = Field(min_length=1)
    """A model's folder, or a training's; of the same vocabulary."""

    weight: float = Field(default=0.5, gt=0, le=1)
    """Share of the loss that is the teacher's; the rest is the text's."""

    temperature: float = Field(default=1.0, gt=0)
    top_k: int | None = Field(default=None, ge=1)
    """Only so many of the teacher's likeliest tokens count, as if there were no others; none: all."""


class Recipe(_Section):
    """Everything a training depends on but the model."""

    schema_version: Literal[1] = 1
    name: str = Field(min_length=1)
    seed: int = Field(default=0, ge=0)
    """Of the first weights and of the order of the text."""

    data: Mixture
    tokenizer: str | None = None
    """`bytes`, the path of a tokenizer.json, or `hf:NAME`; if not said, that of the shards, else bytes."""

    validation_fraction: float = Field(default=0.05, gt=0, lt=1)
    sampling: Literal["random", "epochs", "once"] = "random"
    """Sequences start anywhere; or lie one after the other, each coming once in every epoch; or only once in a stage,
    so that the training ends where a source does."""

    reset_at_documents: bool = False
    """Each document of a sequence is read as if it stood alone, in training and validation."""

    stages: tuple[Stage, ...] = Field(min_length=1)
    batch_tokens: Tokens | None = None
    """Of one step; as many whole sequences as fit."""

    batch_size: int | None = Field(default=None, ge=1)
    """Sequences of one step, in place of `batch_tokens`."""

    num_micro_batches: int = Field(default=1, ge=1)
    """Parts of a process's share of a batch that are run one after the other: less memory, the same step."""

    optimizer: Literal["adam", "adamw", "muon"] = "adamw"
    """`muon` takes the matrices, AdamW the rest."""

    weight_normalization: bool = False
    """Rows and columns on the residual stream have length 1 after every step [NF 2.4]; in the place of decay."""

    weight_decay: float = Field(default=0.0, ge=0)
    """Of matrices only."""

    learning_rate: float = Field(gt=0)
    base_width: int | None = Field(default=None, ge=1)
    """Width at which the rate was found; matrices of others learn in inverse proportion [arXiv 2203.03466]."""

    schedule: Schedule = "cosine"
    """How the rate falls over the tokens of the whole training."""

    warmup_fraction: float = Field(default=0.01, ge=0, le=1)
    """Share of the tokens over which it rises."""

    decay_fraction: float = Field(default=0.2, ge=0, le=1)
    """Share of the tokens over which `warmup_stable_decay` falls."""

    final_learning_rate_fraction: float = Field(default=0.0, ge=0, le=1)
    betas: tuple[float, float] = (0.9, 0.95)
    clip_norm: float = Field(default=1.0, gt=0)
    z_loss: float = Field(default=0.0, ge=0)
    """Weight of the squared log of the softmax's normaliser, which keeps logits small [arXiv 2204.02311]; 1e-4 is
    usual."""

    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Average of the weights, this much of it old at every step; it is what is validated and what a checkpoint's model
    holds."""

    distillation: DistillationConfig | None = None
    dtype: TrainingDtype = "auto"
    fp8: bool = False
    """Linear layers multiply in float8 (torchao, on GPUs that have it)."""

    compile: bool = False
    activation_checkpointing: bool = False
    num_threads: int = Field(default=1, ge=1)
    """CPU threads of each process."""

    device: str = Field(default="auto", min_length=1)
    parallel: ParallelConfig = ParallelConfig()
    validation: ValidationConfig = ValidationConfig()
    checkpoints: CheckpointsConfig = CheckpointsConfig()
    log_every: int = Field(default=10, ge=1)
    """Steps between lines of the log; on a GPU each look at the losses waits for the device."""

    tracking: tuple[TrackerName, ...] = ()
    """Where the numbers go beside the log."""

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        if (self.batch_tokens is None) == (self.batch_size is None):
            given = "neither" if self.batch_size is None else "both"
            raise ConfigError(f"A recipe says batch_tokens or batch_size; got {given}. Keep one of them.")
        for stage in self.stages:
            if stage.batch_tokens is not None and stage.batch_size is not None:
                raise ConfigError("A stage says batch_tokens or batch_size; got both. Keep one of them.")
        if self.optimizer == "adam" and self.weight_decay:
            raise ConfigError(
                f"adam has no weight decay; got weight_decay {self.weight_decay:g}. Set it to 0, or take adamw."
            )
        self.optimizer_settings()
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source of any stage, once, in the order they are named."""
        mixtures = (self.data, *(stage.data for stage in self.stages if stage.data is not None))
        return tuple(dict.fromkeys(source.source for mixture in mixtures for source in mixture))

    def optimizer_settings(self) -> TrainingSettings:
        """Return what the optimizer of short training reads.

        Raises:
            SettingsError: a combination it refuses, such as decay beside weight normalization.
        """
        return TrainingSettings(
            optimizer="muon" if self.optimizer == "muon" else "adamw",
            learning_rate=self.learning_rate,
            base_width=self.base_width,
            weight_decay=self.weight_decay,
            betas=self.betas,
            clip_norm=self.clip_norm,
            weight_normalization=self.weight_normalization,
            dtype=self.dtype,
        )

    def resolved(self) -> "Recipe":
        """Return the same with paths that are found from every working directory."""
        update: dict[str, Any] = {"data": _absolute(self.data)}
        update["stages"] = tuple(
            stage if stage.data is None else stage.model_copy(update={"data": _absolute(stage.data)})
            for stage in self.stages
        )
        if self.tokenizer is not None:
            update["tokenizer"] = absolute_name(self.tokenizer)
        if self.distillation is not None:
            teacher = str(Path(self.distillation.teacher).expanduser().absolute())
            update["distillation"] = self.distillation.model_copy(update={"teacher": teacher})
        return self.model_copy(update=update)

    def to_yaml(self) -> str:
        """Return YAML that `read_recipe` reads back unchanged."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def usual_tokenizer(recipe: Recipe) -> str | None:
    """Return the tokenizer by name; none means that of the shards."""
    if recipe.tokenizer is not None:
        return recipe.tokenizer
    return None if all(source.startswith(TOKENS) for source in recipe.sources) else BYTES


def recipe_names() -> list[str]:
    """Return the recipes that ship."""
    folder = files("nas.winners") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_recipe(name_or_path: str, *, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe that ships by its name, or one from a file, with `a.b=c` overrides.

    Raises:
        ConfigError: neither exists, or see `read_recipe`.
    """
    if name_or_path in recipe_names():
        text = (files("nas.winners") / "recipes" / f"{name_or_path}.yaml").read_text(encoding="utf-8")
    else:
        try:
            text = Path(name_or_path).read_text(encoding="utf-8")
        except FileNotFoundError:
            hint = near_miss(name_or_path, recipe_names())
            raise ConfigError(f"No recipe {name_or_path!r}: neither a file nor one that ships.{hint}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The recipe {name_or_path} cannot be read: {error}.") from error
    return read_recipe(text, where=name_or_path, overrides=overrides)


def read_recipe(text: str, *, where: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe from YAML.

    Raises:
        ConfigError: an unknown or duplicate key (with line and near miss), a missing key, a wrong type or value.
    """
    return read_strictly(Recipe, text, where=where, overrides=overrides)


def check_same_training(before: Recipe, after: Recipe) -> None:
    """Check that two resolved recipes differ in nothing but what may change.

    Raises:
        ConfigError: something else differs.
    """
    changed = changes(before.model_dump(mode="json"), after.model_dump(mode="json"), ignored=MAY_CHANGE)
    if changed:
        raise ConfigError(
            f"On resume only {', '.join(MAY_CHANGE)} may change; got {'; '.join(changed[:_MOST_CHANGES])}"
            + (f" and {more} more" if (more := len(changed) - _MOST_CHANGES) > 0 else "")
            + ". Choose another --output for another training."
        )


def _absolute(mixture: tuple[Source, ...]) -> tuple[Source, ...]:
    return tuple(each.model_copy(update={"source": absolute_uri(each.source)}) for each in mixture)
