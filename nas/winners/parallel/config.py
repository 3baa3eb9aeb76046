"""What a recipe says about the processes that train one model: how many, and what each of them holds."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nas.errors import ConfigError


class ParallelConfig(BaseModel):
    """Processes, one a GPU; losses are those of one process, up to rounding, whatever it says."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    processes: int = Field(default=1, ge=1)
    """In all, on all machines; each batch must divide by it. Under torchrun, torchrun says how many."""

    strategy: Literal["ddp", "fsdp"] = "ddp"
    """`ddp`: each process holds the whole model. `fsdp`: each holds a part of every parameter, gradient and optimizer
    state (FSDP2)."""

    shards: int | None = Field(default=None, ge=1)
    """With `fsdp`, processes that hold one copy of the model together, such as those of one machine; none: all."""

    restarts: int = Field(default=3, ge=0)
    """Times that a training on a Ray cluster begins anew from its last checkpoint after it lost a process."""

    @model_validator(mode="after")
    def _consistent(self) -> "ParallelConfig":
        if self.shards is not None and self.strategy != "fsdp":
            raise ConfigError(f"parallel.shards is of fsdp; got strategy {self.strategy}. Leave it out, or take fsdp.")
        return self
