"""Published architectures, by name.

A reference file says in letters, once per letter, what a paper or its released configuration says. It holds no weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

from search_spaces.architecture import Architecture, spec_from_dict
from search_spaces.errors import SpecError, near_miss
from search_spaces.pattern import LETTERS, near_letter, parse_pattern
from search_spaces.specs import (
    AttentionSpec,
    HybridHeadSpec,
    OperatorSpec,
    kind_of_letter,
    with_attention,
    with_kv_source,
)
from search_spaces.strict import from_mapping
from search_spaces.yaml_reading import read_yaml


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One published architecture as its file states it. Positions count operators from 0."""

    schema_version: int
    name: str
    source: str
    """Where it was published."""

    hidden_size: int
    vocab_size: int
    tie_embeddings: bool
    norm_eps: float
    operators: Mapping[str, Mapping[str, Any]]
    """The fields of the operator behind each letter."""

    pattern: str
    num_meta_tokens: int = 0
    full_attention: tuple[int, ...] = ()
    """Operators that see all tokens although their letter has a window."""

    kv_sharing: tuple[tuple[int, ...], ...] = ()
    """Groups of operators that read the keys and values of the first of the group."""

    notes: tuple[str, ...] = field(default=())
    """What was not published, or is stated differently here."""

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str):
            raise SpecError(f"{self.name}: pattern must be text such as (a f)x28; got {self.pattern!r}.")
        if not isinstance(self.operators, Mapping) or not all(isinstance(v, Mapping) for v in self.operators.values()):
            raise SpecError(f"{self.name}: operators must map each letter to the fields of its operator.")

    def architecture(self) -> Architecture:
        """Return the architecture the file describes.

        Raises:
            SpecError: a letter without fields or fields without a letter, or a rule an operator breaks.
        """
        letters = parse_pattern(self.pattern)
        specs = {letter: self._spec(letter) for letter in self.operators}
        for letter in sorted(set(letters) ^ set(specs)):
            lacking = "operators lacks it" if letter in letters else "the pattern never uses it"
            raise SpecError(f"{self.name}: pattern and operators must name the same letters; {letter!r}: {lacking}.")
        operators = [specs[letter] for letter in letters]
        for index in self.full_attention:
            self._check_attention(operators, index, name="full_attention")
            operators[index] = with_attention(operators[index], lambda attention: replace(attention, window=None))
        for group in self.kv_sharing:
            for index in group[1:]:
                self._check_attention(operators, index, name="kv_sharing")
                operators[index] = with_kv_source(operators[index], group[0])
        return Architecture(
            hidden_size=self.hidden_size,
            operators=tuple(operators),
            vocab_size=self.vocab_size,
            num_meta_tokens=self.num_meta_tokens,
            tie_embeddings=self.tie_embeddings,
            norm_eps=self.norm_eps,
        )

    def _spec(self, letter: str) -> OperatorSpec:
        where = f"{self.name}: operators.{letter}"
        if letter not in LETTERS:
            raise SpecError(f"{where} is an unknown letter.{near_letter(letter)}")
        spec = spec_from_dict({"kind": kind_of_letter(letter), **self.operators[letter]}, where=where)
        if spec.letter != letter:
            raise SpecError(f"{where} must describe a {letter!r}; its fields describe a {spec.letter!r}.")
        return spec

    def _check_attention(self, operators: list[OperatorSpec], index: int, *, name: str) -> None:
        if not 0 <= index < len(operators) or not isinstance(operators[index], AttentionSpec | HybridHeadSpec):
            raise SpecError(f"{self.name}: {name} must name operators that hold attention; got {index!r}.")


def read_reference(text: str, *, where: str) -> Reference:
    """Read a reference file.

    Raises:
        SpecError: an unknown, duplicate or missing key, or another schema version.
    """
    content: dict[str, Any] = read_yaml(text, where=where)
    if content.get("schema_version") != 1:
        raise SpecError(f"{where}: schema_version must be 1; got {content.get('schema_version')!r}. Write it as 1.")
    for name in ("full_attention", "notes"):
        if name in content:
            content[name] = tuple(content[name])
    if "kv_sharing" in content:
        content["kv_sharing"] = tuple(tuple(group) for group in content["kv_sharing"])
    return from_mapping(Reference, content, where=where)


@cache
def reference_names() -> tuple[str, ...]:
    """Return the name of every published architecture."""
    folder = files("search_spaces") / "reference"
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


@cache
def load_reference_file(name: str) -> Reference:
    """Return a published architecture with its source and notes.

    Raises:
        SpecError: an unknown name, naming the near miss.
    """
    if name not in reference_names():
        raise SpecError(f"No published architecture is called {name!r}.{near_miss(name, reference_names())}")
    path = files("search_spaces") / "reference" / f"{name}.yaml"
    return read_reference(path.read_text(encoding="utf-8"), where=f"reference/{name}.yaml")


@cache
def load_reference(name: str) -> Architecture:
    """Return a published architecture.

    Raises:
        SpecError: an unknown name, naming the near miss.
    """
    return load_reference_file(name).architecture()
