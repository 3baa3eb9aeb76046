"""Everything needed to build one model, resolved, frozen and hashable.

Not which models may be proposed: that is a space (`space.py`).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.errors import SpecError, near_miss
from search_spaces.pattern import format_pattern
from search_spaces.specs import (
    SPEC_CLASSES,
    HybridHeadSpec,
    OperatorSpec,
    RopeScaling,
    kv_form,
    kv_source,
    spec_to_dict,
)
from search_spaces.strict import from_mapping

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A decoder: embedding, residual operators in order, final norm, head."""

    hidden_size: int
    """Width of the residual stream."""

    operators: tuple[OperatorSpec, ...]

    vocab_size: int

    num_meta_tokens: int = 0
    """Learned embeddings prepended to every sequence [NF 2.4]."""

    tie_embeddings: bool = True
    """Whether the head is the embedding matrix."""

    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        object.__setattr__(self, "operators", tuple(self.operators))
        eps = self.norm_eps
        if isinstance(eps, bool) or not isinstance(eps, int | float) or eps < 0:
            raise SpecError(f"Architecture.norm_eps must be a number of at least 0; got {eps!r}.")
        object.__setattr__(self, "norm_eps", float(eps))
        for name, least in (("hidden_size", 1), ("vocab_size", 1), ("num_meta_tokens", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise SpecError(f"Architecture.{name} must be an integer of at least {least}; got {value!r}.")
        if not isinstance(self.tie_embeddings, bool):
            raise SpecError(f"Architecture.tie_embeddings must be true or false; got {self.tie_embeddings!r}.")
        if not self.operators:
            raise SpecError("Architecture.operators must hold at least one operator; got none.")
        for index, spec in enumerate(self.operators):
            if not isinstance(spec, OperatorSpec):
                raise SpecError(f"operators[{index}] must be an operator spec; got {type(spec).__name__}.")
            _check_kv_sharing(self.operators, index)

    @property
    def depth(self) -> int:
        """Number of operators."""
        return len(self.operators)

    @property
    def letters(self) -> tuple[str, ...]:
        """The operators' letters in order."""
        return tuple(spec.letter for spec in self.operators)

    @property
    def pattern(self) -> str:
        """The operators in pattern notation, repetitions folded."""
        return format_pattern(self.letters)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping that `from_dict` reads back unchanged."""
        return {
            "schema_version": SCHEMA_VERSION,
            "hidden_size": self.hidden_size,
            "vocab_size": self.vocab_size,
            "num_meta_tokens": self.num_meta_tokens,
            "tie_embeddings": self.tie_embeddings,
            "norm_eps": self.norm_eps,
            "operators": [spec_to_dict(spec) for spec in self.operators],
        }

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "Architecture":
        """Read what `to_dict` wrote.

        Raises:
            SpecError: another schema version, an unknown key or kind, or a rule an operator breaks.
        """
        if not isinstance(mapping, Mapping):
            raise SpecError(f"An architecture must be a mapping; got {type(mapping).__name__}.")
        content = dict(mapping)
        version = content.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise SpecError(
                f"Architecture schema_version must be {SCHEMA_VERSION}; got {version!r}. "
                "Write it again with this version of hybridnas, or read it with the one that wrote it."
            )
        if "operators" in content:
            operators = content["operators"]
            if not isinstance(operators, list | tuple):
                raise SpecError(f"operators must be a list; got {type(operators).__name__}.")
            content["operators"] = tuple(
                spec_from_dict(spec, where=f"operators[{index}]") for index, spec in enumerate(operators)
            )
        return from_mapping(cls, content, where="Architecture")

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that name the computation.

        Fields at their default are left out, so a field added later with the old behaviour as its default keeps every
        old fingerprint.
        """
        content: dict[str, Any] = {
            "hidden_size": self.hidden_size,
            "vocab_size": self.vocab_size,
            "operators": [spec_to_dict(spec, omit_defaults=True) for spec in self.operators],
        }
        for name, default in (("num_meta_tokens", 0), ("tie_embeddings", True), ("norm_eps", 1e-6)):
            if getattr(self, name) != default:
                content[name] = getattr(self, name)
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def spec_from_dict(mapping: Mapping[str, Any], *, where: str = "operator") -> OperatorSpec:
    """Read what `spec_to_dict` wrote.

    Raises:
        SpecError: an unknown kind or key, naming the near miss.
    """
    if not isinstance(mapping, Mapping):
        raise SpecError(f"{where} must be a mapping; got {type(mapping).__name__}.")
    content = dict(mapping)
    kind = content.pop("kind", None)
    if not isinstance(kind, str) or kind not in SPEC_CLASSES:
        raise SpecError(f"{where} has the unknown kind {kind!r}.{near_miss(str(kind), SPEC_CLASSES)}")
    cls = SPEC_CLASSES[kind]
    if isinstance(content.get("rope_scaling"), Mapping):
        content["rope_scaling"] = from_mapping(RopeScaling, content["rope_scaling"], where=f"{where}.rope_scaling")
    if cls is HybridHeadSpec:
        for branch in ("attention", "ssm"):
            if branch in content:
                content[branch] = spec_from_dict(content[branch], where=f"{where}.{branch}")
    return from_mapping(cls, content, where=f"{where} ({kind})")


def _check_kv_sharing(operators: tuple[OperatorSpec, ...], index: int) -> None:
    source = kv_source(operators[index])
    if source is None:
        return
    own = kv_form(operators[index])
    makes_its_own = [n for n, spec in enumerate(operators[:index]) if kv_form(spec) and kv_source(spec) is None]
    if source not in makes_its_own:
        raise SpecError(
            f"operators[{index}].shares_kv_with must name an earlier attention or hybrid-head operator that makes its "
            f"own keys and values; got {source}. {_possible(n for n in makes_its_own if kv_form(operators[n]) == own)}"
        )
    if own != kv_form(operators[source]):
        raise SpecError(
            f"operators[{index}] can share keys and values only of its own form ({own}); got operators[{source}] "
            f"({kv_form(operators[source])}). {_possible(n for n in makes_its_own if kv_form(operators[n]) == own)}"
        )


def _possible(sources: Iterable[int]) -> str:
    listed = ", ".join(map(str, sources))
    return f"Possible: {listed}." if listed else "None is possible here: leave shares_kv_with out."
