"""The configuration of a search: what it may say, read strictly from YAML.

Only what is asked for; `search.py` turns it into a running search.
"""

from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from latency.workload import Workload
from nas.candidates import FailureKind
from nas.config_changes import changes
from nas.errors import ConfigError
from nas.evolution.registry import strategy_settings
from nas.export.exporter import exporters
from nas.expressible_space import expressible
from nas.failure_policy import FailurePolicy, failure_policies
from nas.halving import Halving
from nas.memory_bound import MemoryBound
from nas.storage.url import check_url
from nas.strict_config import read_strictly
from proxies.probes.difficulties import TASK_NAMES, Difficulty, make_suite
from proxies.probes.suite import ProbeSuite
from proxies.rungs import Rungs
from proxies.settings import TrainingSettings
from proxies.sources import TOKENS, absolute_uri
from proxies.tokenizers import BYTES, absolute_name
from search_spaces import ArchitectureSpace, EnumerableSpace
from search_spaces.errors import near_miss
from search_spaces.presets import AnySpace, load_preset, space_from_dict, space_to_dict

SCHEMA_VERSION: Final = 1

EXPENSIVE_OBJECTIVE: Final = "perplexity"
RECALL_ERROR: Final = "recall_error"
"""What probes give; searched for beside perplexity where `proxy.probes` says which."""

EXPENSIVE_OBJECTIVES: Final = (EXPENSIVE_OBJECTIVE, RECALL_ERROR)

CHEAP_OBJECTIVE: Final = "latency_ms"

MAY_CHANGE: Final = ("budget", "resources", "failures", "study.storage", "proxy.fidelity")
"""Sections and fields that may change on resume; of a study only its address, not which one it is."""

JOURNAL_STUDY: Final = "search"
"""What the one study of a journal is called."""

MEMORY: Final = "memory"
"""The constraint that is a line of words; candidates are priced with it as `memory_gib`."""

MEMORY_GIB: Final = "memory_gib"

OBJECTIVES: Final = (EXPENSIVE_OBJECTIVE, CHEAP_OBJECTIVE)
"""What a search minimises unless it says otherwise."""

CHEAP_OBJECTIVES: Final = (CHEAP_OBJECTIVE, "num_parameters", MEMORY_GIB)
"""What may be minimised besides the expensive objectives."""

_MOST_CHANGES: Final = 8

BOUNDABLE: Final = (CHEAP_OBJECTIVE, "num_parameters", MEMORY, *EXPENSIVE_OBJECTIVES)
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


def _usual_tokenizer(given: dict[str, Any]) -> str | None:
    return None if str(given.get("corpus")).startswith(TOKENS) else BYTES


class ProbesConfig(_Section):
    """Which probes give `recall_error`, and how hard they are."""

    tasks: tuple[str, ...] = TASK_NAMES
    difficulty: Difficulty = "small"

    def suite(self) -> ProbeSuite:
        """Return the probes.

        Raises:
            SettingsError: an unknown task, none, or one named twice.
        """
        return make_suite(self.difficulty, tasks=self.tasks)


class HalvingConfig(_Section):
    """Which trainings end early: those that few of the candidates that cost no more do worse than."""

    rungs: tuple[float, ...] = (0.11, 0.2, 0.33)
    """Where they are looked at, as shares of the steps."""

    keep: float = Field(default=0.1, gt=0, le=1)
    """Share of the candidates that cost no more, among the best of which one must be to go on."""

    min_seen: int = Field(default=6, ge=2)
    """Nothing is stopped at a rung before so many candidates reached it."""

    explore: float = Field(default=0.04, ge=0, le=1)
    """Share of candidates that are trained to their end whatever their losses: the control group."""

    @model_validator(mode="after")
    def _checked(self) -> "HalvingConfig":
        Rungs(shares=self.rungs, limits=(None,) * len(self.rungs))
        return self


class FidelityConfig(_Section):
    """How a search measures, while it runs, how far its short trainings can be trusted."""

    every: int = Field(default=50, ge=1)
    """Candidates that finish between two rounds of longer training."""

    candidates: int = Field(default=4, ge=1)
    """That each round trains longer, the best so far among them; later rounds add others."""

    tokens_multiple: float = Field(default=4.0, gt=1)
    """How many times as long."""

    @model_validator(mode="after")
    def _checked(self) -> "FidelityConfig":
        if self.candidates > self.every:
            raise ConfigError(
                f"proxy.fidelity trains some of the candidates that finished; got candidates: {self.candidates} of "
                f"every: {self.every}. Raise every, or lower candidates."
            )
        return self


class ProxyConfig(_Section):
    """What stands in for final quality: short training on a text."""

    corpus: str = "stdlib"
    """`stdlib`, `file:PATH`, `hf:NAME:SPLIT`, or `tokens:FOLDER` with what `nas data prepare` made."""

    tokenizer: str | None = Field(default_factory=_usual_tokenizer)
    """`bytes`, the path of a tokenizer.json, or `hf:NAME`; by default bytes, or that of the shards."""

    validation_fraction: float = Field(default=0.05, gt=0, lt=1)
    width_fraction: float = Field(default=1.0, gt=0, le=1)
    """Width of the model that is trained, as a share of the target's; depth and operators are always the target's."""

    training: TrainingSettings = TrainingSettings()
    halving: HalvingConfig | None = None
    """Trainings that promise little end early; none: all go to their end."""

    fidelity: FidelityConfig | None = None
    """Some candidates are trained longer beside the search, to know how far it can be trusted; none: not by itself."""

    probes: ProbesConfig | None = None
    """Asked for by the objective recall_error: each candidate is trained on these tasks as well."""

    def resolved(self) -> "ProxyConfig":
        """Return the same with paths that are found from every working directory."""
        tokenizer = None if self.tokenizer is None else absolute_name(self.tokenizer)
        return self.model_copy(update={"corpus": absolute_uri(self.corpus), "tokenizer": tokenizer})


class StrategyConfig(_Section):
    """How candidates are proposed; settings a strategy does not have are refused."""

    name: str = "frontier"
    population_size: int | None = Field(default=None, ge=1)
    tournament_size: int | None = Field(default=None, ge=1)
    offspring_per_cycle: int | None = Field(default=None, ge=1)
    num_imagined: int | None = Field(default=None, ge=1)

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
    """Candidates drawn at random and trained once more under another seed at the end, to know the noise."""

    frontier_repeats: int = Field(default=0, ge=0)
    """New seeds under which every candidate that gets onto the frontier is trained again; the mean ranks it."""


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
    """How often the evaluation or the measurement of a lost worker runs again."""

    deadline_s: float | None = Field(default=604_800.0, gt=0)
    """Seconds one evaluation may take before it ends as `timeout`, a week if not said; none: as long as it likes."""

    autoscaling: bool = False
    """The Ray cluster adds nodes when they are asked for, so that it may have none yet that holds a candidate."""

    @model_validator(mode="after")
    def _placeable(self) -> "ResourcesConfig":
        if self.executor == "ray":
            for name in ("cpus_per_candidate", "gpus_per_candidate"):
                amount = getattr(self, name)
                if amount > 1 and not float(amount).is_integer():
                    raise ConfigError(f"resources.{name} above 1 must be a whole number on Ray; got {amount:g}.")
        if self.autoscaling and (self.executor != "ray" or self.max_parallel is None):
            raise ConfigError(
                "resources.autoscaling asks a Ray cluster for room for max_parallel candidates; got executor "
                f"{self.executor!r} and max_parallel {self.max_parallel}. Set both, or leave autoscaling out."
            )
        return self


class StudyConfig(_Section):
    """Where the record of all trials is kept."""

    storage: str | None = None
    """`postgresql://USER@HOST/DATABASE`; none keeps it in a journal file in the run directory. Passwords belong in
    ~/.pgpass or PGPASSWORD; with one in the URL, config.yaml is readable by its owner only."""

    name: str | None = Field(default=None, min_length=1)
    """Names the study among others of the same database; by default the configuration's name."""

    @model_validator(mode="after")
    def _checked(self) -> "StudyConfig":
        if self.storage is not None:
            check_url(self.storage)
        elif self.name is not None:
            raise ConfigError(
                f"study.name tells studies of one database apart; got {self.name!r} without study.storage. "
                "Name the database too, or leave the name out."
            )
        return self


class SearchConfig(_Section):
    """Everything a search depends on."""

    schema_version: Literal[1] = 1
    name: str
    seed: int = Field(default=0, ge=0)
    space: str | dict[str, Any]
    """A preset's name, or a space written out."""

    export: tuple[str, ...] = ()
    """Formats, such as nemotron-h, in which every candidate must be exportable; others are never proposed."""

    seeds: tuple[str, ...] = ()
    """Architectures evaluated first: names of references or spec files. They must lie in the space."""

    objectives: tuple[str, ...] = OBJECTIVES
    """What is minimised: perplexity, after it recall_error if it is to be, then what costs nothing to know: latency_ms,
    num_parameters, memory_gib. Two or more."""

    latency: LatencyConfig
    proxy: ProxyConfig = ProxyConfig()
    strategy: StrategyConfig = StrategyConfig()
    constraints: dict[str, float | str] = {}
    """Upper bounds, such as `latency_ms: 14450`, or `memory: 128k tokens within 22 GiB in bf16`."""

    budget: BudgetConfig
    resources: ResourcesConfig = ResourcesConfig()
    study: StudyConfig = StudyConfig()
    failures: dict[str, dict[str, Any]] = {}
    """What follows a kind of failure where it is not the default, such as `timeout: {then: infeasible, retries: 1}`."""

    @model_validator(mode="after")
    def _consistent(self) -> "SearchConfig":
        for name, bound in self.constraints.items():
            if name not in BOUNDABLE:
                raise ConfigError(f"constraints cannot bound {name!r}.{near_miss(name, BOUNDABLE)}")
            if name == MEMORY:
                MemoryBound.parse(str(bound))
            elif isinstance(bound, str):
                raise ConfigError(f"constraints.{name} must be a number; got {bound!r}.")
        self._check_objectives()
        if "retries" in self.failures.get("lost_worker", {}):
            raise ConfigError("Lost workers are tried again resources.max_retries times; set that instead of retries.")
        failure_policies(self.failures)
        if self.strategy.name == "aging" and CHEAP_OBJECTIVE not in self.constraints:
            raise ConfigError(
                "The strategy 'aging' searches under one latency budget; got no constraints.latency_ms. "
                "Set it in milliseconds, or use the strategy 'frontier' for the whole frontier."
            )
        for name in self.export:
            if name not in exporters():
                raise ConfigError(f"export cannot demand {name!r}.{near_miss(name, exporters())}")
        space = self.load_space()
        if self.strategy.name == "grid" and not isinstance(space, EnumerableSpace):
            raise ConfigError(
                f"The strategy 'grid' needs a space that lists its genomes; {type(space).__name__} does not. "
                "Use a depth_width space, or another strategy."
            )
        self.training_settings()
        return self

    def _check_objectives(self) -> None:
        first, *others = self.objectives or ("",)
        if first != EXPENSIVE_OBJECTIVE or not others or len(set(others)) < len(others):
            raise ConfigError(
                f"objectives are {EXPENSIVE_OBJECTIVE}, then one or more of {RECALL_ERROR} and "
                f"{', '.join(CHEAP_OBJECTIVES)}, each once; got {', '.join(self.objectives) or 'none'}."
            )
        for name in others:
            if name not in (RECALL_ERROR, *CHEAP_OBJECTIVES):
                raise ConfigError(
                    f"objectives cannot hold {name!r}.{near_miss(name, (RECALL_ERROR, *CHEAP_OBJECTIVES))}"
                )
        if RECALL_ERROR in others[1:]:
            raise ConfigError(
                f"Objectives that cost an evaluation come first: write {EXPENSIVE_OBJECTIVE}, {RECALL_ERROR}, then the "
                f"others; got {', '.join(self.objectives)}."
            )
        self._check_probes()
        if MEMORY_GIB in others and MEMORY not in self.constraints:
            raise ConfigError(
                f"The objective {MEMORY_GIB} needs to know of what: set constraints.memory, such as "
                "'128k tokens within 80 GiB in bf16', which bounds it too."
            )

    def _check_probes(self) -> None:
        probes, is_objective = self.proxy.probes, RECALL_ERROR in self.objectives
        if is_objective != (probes is not None):
            given = "the objective without proxy.probes" if is_objective else "proxy.probes without the objective"
            raise ConfigError(
                f"The objective {RECALL_ERROR} and proxy.probes go together; got {given}. "
                f"Write objectives: [perplexity, {RECALL_ERROR}, latency_ms] and proxy.probes: {{difficulty: small}}."
            )
        if RECALL_ERROR in self.constraints and not is_objective:
            raise ConfigError(f"constraints bound {RECALL_ERROR}, which is no objective here. Add it to objectives.")
        if probes is not None:
            probes.suite()

    @property
    def expensive_objectives(self) -> tuple[str, ...]:
        """The objectives that cost an evaluation, in order."""
        return tuple(name for name in self.objectives if name in EXPENSIVE_OBJECTIVES)

    @property
    def failure_policies(self) -> dict[FailureKind, FailurePolicy]:
        """What follows each kind of failure."""
        policies = failure_policies(self.failures)
        lost = policies["lost_worker"]
        return policies | {"lost_worker": replace(lost, retries=self.resources.max_retries)}

    @property
    def halving(self) -> Halving | None:
        """Which trainings end early, if any may."""
        section = self.proxy.halving
        if section is None:
            return None
        costs = tuple(name for name in self.objectives if name not in EXPENSIVE_OBJECTIVES)
        return Halving(**section.model_dump(), costs=costs)

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

    def proposal_space(self) -> ArchitectureSpace[Any]:
        """Return the space asked for, without what a format that `export` demands cannot hold.

        Raises:
            SpecError: an unknown preset or a space that breaks a rule.
        """
        return expressible(self.load_space(), exporters=[exporters()[name] for name in self.export])

    def training_settings(self) -> TrainingSettings:
        """Return how a candidate is trained: by one process for each GPU it holds, unless it is said by how many.

        Raises:
            SettingsError: the processes cannot share a batch.
        """
        training, num_gpus = self.proxy.training, int(self.resources.gpus_per_candidate)
        if training.num_processes is not None or num_gpus < 2 or training.device not in ("auto", "cuda"):
            return training
        return replace(training, num_processes=num_gpus)

    @property
    def study_name(self) -> str:
        """What the study is called where it is kept."""
        return JOURNAL_STUDY if self.study.storage is None else self.study.name or self.name

    def resolved(self) -> "SearchConfig":
        """Return the same configuration with its space written out, so that a preset may change without it.

        Paths of texts and tokenizers become absolute.
        """
        return self.model_copy(update={"space": space_to_dict(self.load_space()), "proxy": self.proxy.resolved()})

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
    return read_strictly(SearchConfig, text, where=where, overrides=overrides)


def check_resumable(before: SearchConfig, after: SearchConfig, *, num_begun: int) -> None:
    """Check that a changed configuration continues the same search, of which `num_begun` candidates were begun.

    Raises:
        ConfigError: something other than what may change differs, or the budget is below what was begun.
    """
    check_same_search(before, after)
    if after.budget.evaluations < min(num_begun, before.budget.evaluations):
        raise ConfigError(
            f"budget.evaluations must be at least the {num_begun} candidates begun; got {after.budget.evaluations}."
        )


def check_same_search(before: SearchConfig, after: SearchConfig) -> None:
    """Check that two configurations, resolved, differ in nothing but what may change.

    A field of the space that one leaves out and the other has at its default is no difference, so that a run which an
    earlier version began goes on.

    Raises:
        ConfigError: something else differs.
    """
    first, second = (config.resolved().model_dump(mode="json") for config in (before, after))
    changed = changes(first, second, ignored=MAY_CHANGE)
    if changed:
        raise ConfigError(
            f"On resume only {', '.join(MAY_CHANGE)} may change; got {'; '.join(changed[:_MOST_CHANGES])}"
            + (f" and {more} more" if (more := len(changed) - _MOST_CHANGES) > 0 else "")
            + ". Start a new run directory for another search."
        )
