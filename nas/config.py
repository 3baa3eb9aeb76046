"""The configuration of a search: what it may say, read strictly from YAML.

Only what is asked for; `search.py` turns it into a running search.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from latency.workload import Workload
from nas.errors import ConfigError
from nas.evolution.registry import strategy_settings
from nas.memory_bound import MemoryBound
from nas.yaml_lines import key_lines
from proxies.settings import TrainingSettings
from search_spaces.errors import near_miss
from search_spaces.presets import AnySpace, load_preset, space_from_dict, space_to_dict
from search_spaces.yaml_reading import read_yaml

SCHEMA_VERSION: Final = 1

EXPENSIVE_OBJECTIVE: Final = "perplexity"
CHEAP_OBJECTIVE: Final = "latency_ms"

MAY_CHANGE: Final = ("budget", "resources")
"""Sections that may change on resume."""

MEMORY: Final = "memory"
"""The constraint that is a line of words; candidates are priced with it as `memory_gib`."""

MEMORY_GIB: Final = "memory_gib"

BOUNDABLE: Final = (CHEAP_OBJECTIVE, "num_parameters", MEMORY, EXPENSIVE_OBJECTIVE)
"""What `constraints` may bound."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class LatencyConfig(_Section):
    """What latency means and where it is measured."""

    workload: Workload
    device: str = "cpu"
    """`cpu` or `cuda`; rows that are missing are measured there when the search starts."""

    accelerator: str | None = None
    """Which GPU is meant, by Ray's name of it, such as `H100`; none means the one at hand."""

    num_threads: int = Field(default=1, ge=1)
    """CPU threads while measuring on the CPU."""

    table: str | None = None
    """File of a latency table to price with instead of measuring."""

    validation_models: int = Field(default=12, ge=0)
    """Random models of the space that are timed whole to check a table measured here, before the first candidate."""

    accept_unvalidated: bool = False
    """Search also with a table that was never checked against whole models."""

    accept_other_device: bool = False
    """Search also with a given table of another device, other versions or other kernels than are asked for."""

    @model_validator(mode="after")
    def _checked(self) -> "LatencyConfig":
        if self.accelerator is not None and not self.device.startswith("cuda"):
            raise ConfigError(
                f"latency.accelerator names a GPU; got {self.accelerator!r} with device {self.device!r}. "
                "Set latency.device: cuda, or leave the accelerator out."
            )
        if self.table is None and self.validation_models < 2 and not self.accept_unvalidated:
            raise ConfigError(
                "A search needs a latency table that was checked against whole models: validation_models must be at "
                f"least 2; got {self.validation_models}. Or set accept_unvalidated: true."
            )
        return self


class ProxyConfig(_Section):
    """What stands in for final quality: short training on a text."""

    corpus: str = "stdlib"
    tokenizer: Literal["bytes"] = "bytes"
    validation_fraction: float = Field(default=0.05, gt=0, lt=1)
    training: TrainingSettings = TrainingSettings()


class StrategyConfig(_Section):
    """How candidates are proposed; settings a strategy does not have are refused."""

    name: str = "frontier"
    population_size: int | None = Field(default=None, ge=1)
    tournament_size: int | None = Field(default=None, ge=1)
    offspring_per_cycle: int | None = Field(default=None, ge=1)

    @property
    def settings(self) -> dict[str, int]:
        """The settings that were given."""
        return self.model_dump(exclude={"name"}, exclude_none=True)

    @model_validator(mode="after")
    def _known(self) -> "StrategyConfig":
        strategy_settings(self.name, self.settings)
        return self


class BudgetConfig(_Section):
    """How much is evaluated; may be raised on resume."""

    evaluations: int = Field(ge=1)
    repeats: int = Field(default=0, ge=0)
    """Candidates trained once more under another seed at the end, to know the noise."""


class ResourcesConfig(_Section):
    """Where candidates are evaluated and what each holds; may change on resume."""

    executor: Literal["ray", "inprocess"] = "ray"
    address: str = "local"
    """Ray cluster: `local` starts one, `auto` joins the one running on this machine, or HOST:PORT."""

    cpus_per_candidate: float = Field(default=1.0, gt=0)
    gpus_per_candidate: float = Field(default=0.0, ge=0)
    memory_gib_per_candidate: float | None = Field(default=None, gt=0)
    max_parallel: int | None = Field(default=None, ge=1)
    max_retries: int = Field(default=3, ge=0)
    """How often the evaluation of a lost worker runs again."""


class SearchConfig(_Section):
    """Everything a search depends on."""

    schema_version: Literal[1] = 1
    name: str
    seed: int = Field(default=0, ge=0)
    space: str | dict[str, Any]
    """A preset's name, or a space written out."""

    seeds: tuple[str, ...] = ()
    """Architectures evaluated first: names of references or spec files. They must lie in the space."""

    latency: LatencyConfig
    proxy: ProxyConfig = ProxyConfig()
    strategy: StrategyConfig = StrategyConfig()
    constraints: dict[str, float | str] = {}
    """Upper bounds, such as `latency_ms: 14450`, or `memory: 128k tokens within 22 GiB in bf16`."""

    budget: BudgetConfig
    resources: ResourcesConfig = ResourcesConfig()

    @model_validator(mode="after")
    def _consistent(self) -> "SearchConfig":
        for name, bound in self.constraints.items():
            if name not in BOUNDABLE:
                raise ConfigError(f"constraints cannot bound {name!r}.{near_miss(name, BOUNDABLE)}")
            if name == MEMORY:
                MemoryBound.parse(str(bound))
            elif isinstance(bound, str):
                raise ConfigError(f"constraints.{name} must be a number; got {bound!r}.")
        if self.strategy.name == "aging" and CHEAP_OBJECTIVE not in self.constraints:
            raise ConfigError(
                "The strategy 'aging' searches under one latency budget; got no constraints.latency_ms. "
                "Set it in milliseconds, or use the strategy 'frontier' for the whole frontier."
            )
        self.load_space()
        return self

    @property
    def memory_bound(self) -> MemoryBound | None:
        """What must fit into how much memory, if `constraints` say."""
        line = self.constraints.get(MEMORY)
        return None if line is None else MemoryBound.parse(str(line))

    @property
    def bounds(self) -> dict[str, float]:
        """The constraints as upper bounds by name of what candidates are priced with."""
        numbers = {name: float(bound) for name, bound in self.constraints.items() if name != MEMORY}
        memory = self.memory_bound
        return numbers if memory is None else numbers | {MEMORY_GIB: memory.gib}

    def load_space(self) -> AnySpace:
        """Return the space asked for.

        Raises:
            SpecError: an unknown preset or a space that breaks a rule.
        """
        return load_preset(self.space) if isinstance(self.space, str) else space_from_dict(self.space)

    def resolved(self) -> "SearchConfig":
        """Return the same configuration with its space written out, so that a preset may change without it."""
        return self.model_copy(update={"space": space_to_dict(self.load_space())})

    def to_yaml(self) -> str:
        """Return YAML that `read_config` reads back unchanged."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def configuration_names() -> list[str]:
    """Return the configurations that ship."""
    folder = files("nas") / "configurations"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def configuration_text(name_or_path: str) -> str:
    """Return the YAML of a file, or of a configuration that ships.

    Raises:
        ConfigError: neither exists, or the file cannot be read.
    """
    if name_or_path in configuration_names():
        return (files("nas") / "configurations" / f"{name_or_path}.yaml").read_text(encoding="utf-8")
    try:
        return Path(name_or_path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"No configuration {name_or_path!r}: neither a file nor one that ships."
            f"{near_miss(name_or_path, configuration_names())}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration {name_or_path} cannot be read: {error}.") from error


def load_config(name_or_path: str, *, overrides: Sequence[str] = ()) -> SearchConfig:
    """Read a configuration by name or path, with `a.b=c` overrides.

    Raises:
        ConfigError: see `read_config`.
    """
    return read_config(configuration_text(name_or_path), where=name_or_path, overrides=overrides)


def read_config(text: str, *, where: str, overrides: Sequence[str] = ()) -> SearchConfig:
    """Read a configuration from YAML.

    Args:
        text: the YAML document.
        where: names the document in errors.
        overrides: `a.b=c` with a YAML value, applied before checking.

    Raises:
        ConfigError: an unknown or duplicate key (with line and near miss), a missing key, a wrong type or value.
    """
    content: dict[str, Any] = read_yaml(text, where=where)
    overridden = [_override(content, assignment) for assignment in overrides]
    try:
        return SearchConfig.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        lines = key_lines(text)
        problems = [_describe(problem, lines, overridden) for problem in error.errors(include_url=False)]
        raise ConfigError(f"{where}: " + "\n".join(problems)) from None


def _override(content: dict[str, Any], assignment: str) -> tuple[str, ...]:
    key, separator, value = assignment.partition("=")
    path = tuple(key.strip().split("."))
    if not separator or not all(path):
        raise ConfigError(f"--set takes a.b=value; got {assignment!r}.")
    target = content
    for part in path[:-1]:
        if not isinstance(target.setdefault(part, {}), dict):
            raise ConfigError(f"--set {assignment}: {part!r} holds a value, not a section.")
        target = target[part]
    target[path[-1]] = read_yaml(f"value: {value}", where=f"--set {assignment}")["value"]
    return path


def _describe(
    problem: Mapping[str, Any], lines: Mapping[tuple[str | int, ...], int], overridden: Sequence[tuple[str, ...]]
) -> str:
    """Return one line about one thing pydantic found wrong."""
    # Pydantic adds the chosen member of a union to the path; such parts are no keys of the document.
    path = tuple(part for part in problem["loc"] if not (isinstance(part, str) and (part == "str" or "[" in part)))
    name = ".".join(map(str, path)) or "the configuration"
    place = next((path[:length] for length in range(len(path), 0, -1) if path[:length] in lines), None)
    prefix = "" if place is None else f"line {lines[place]}, "
    if path in overridden:
        prefix = "--set, "
    match problem["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument":
            return f"{prefix}unknown key {name!r}.{near_miss(str(path[-1]), _known_keys(path[:-1]))}"
        case "missing":
            return f"{prefix}{name} is missing. Add it."
        case "value_error":
            # Our own errors say rule, value and remedy themselves.
            return f"{prefix}{name}: {problem['ctx']['error']}"
        case _:
            return f"{prefix}{name}: {problem['msg']}; got {problem['input']!r}."


def _known_keys(path: Sequence[str | int]) -> list[str]:
    """Return the keys allowed in the section at `path`, from the schema."""
    schema = SearchConfig.model_json_schema()
    node: dict[str, Any] = schema
    for part in path:
        node = node["properties"][str(part)]
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    return list(node["properties"])


def check_resumable(before: SearchConfig, after: SearchConfig, *, num_begun: int) -> None:
    """Check that a changed configuration continues the same search, of which `num_begun` candidates were begun.

    Raises:
        ConfigError: something other than `budget` and `resources` differs, or the budget is below what was begun.
    """
    check_same_search(before, after)
    if after.budget.evaluations < min(num_begun, before.budget.evaluations):
        raise ConfigError(
            f"budget.evaluations must be at least the {num_begun} candidates begun; got {after.budget.evaluations}."
        )


def check_same_search(before: SearchConfig, after: SearchConfig) -> None:
    """Check that two resolved configurations differ in nothing but `budget` and `resources`.

    Raises:
        ConfigError: something else differs.
    """
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    changed = [name for name in old if name not in MAY_CHANGE and old[name] != new[name]]
    if changed:
        raise ConfigError(
            f"On resume only budget and resources may change; got another {', '.join(changed)}. "
            "Start a new run directory for another search."
        )
