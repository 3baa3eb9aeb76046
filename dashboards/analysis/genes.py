"""The genes of candidates as columns of numbers or words: shape, number of each operator, and what the genome says.

Not what goes with a gene: that is `association.py`. Each genome and pattern is read once; one that cannot be read has
no value in its columns and hides no other.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboards.analysis.per_frame import per_frame
from dashboards.operators_style import STYLES, drawing_order, style_of
from search_spaces import parse_pattern
from search_spaces.errors import SpecError

MAX_WORDS: Final = 8
"""A text of the genome with more different values than this is no gene; its number of stages may be one."""

MAX_LIST: Final = 8
"""Entries of longer lists are no genes of their own: the tenth operator of two candidates need not correspond."""

_LABELS: Final = {"hidden_size": "Width", "depth": "Depth", "num_parameters": "Parameters"}
_BY_LETTER: Final = {style.letter: name for name, style in STYLES.items() if style.letter}
_KEPT: Final = 1 << 15
_NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gene:
    """One property of all candidates that their genomes decide, and that is not the same for all."""

    name: str
    """Without spaces, commas and colons, so that a link can carry it."""

    label: str
    values: NDArray[Any]
    """One a row; float64 with NaN where not known, or text with None."""

    @property
    def is_number(self) -> bool:
        """Whether it has an order."""
        return bool(self.values.dtype.kind == "f")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Genes:
    """The genes of all trials of a frame, row by row."""

    genes: tuple[Gene, ...]
    num_garbled: int
    """Trials whose genome or pattern cannot be read."""


def garbled_words(num_garbled: int) -> str:
    """Return that so many trials have parts that cannot be read."""
    trials = "1 trial has" if num_garbled == 1 else f"{num_garbled:,} trials have"
    return f"{trials} a genome or pattern that cannot be read."


@per_frame
def genes_of(trials: pd.DataFrame) -> Genes:
    """Return the genes that vary among the trials, shape first, then operators, then what only the genome says."""
    garbled = np.zeros(len(trials), dtype=bool)
    columns: dict[str, tuple[str, NDArray[Any]]] = {
        name: (_LABELS[name], trials[name].to_numpy(dtype=float, na_value=np.nan)) for name in ("hidden_size", "depth")
    }
    counts = [_NOTHING if text is None else _operators(text) for text in _texts(trials["pattern"])]
    garbled |= np.array([found is None for found in counts], dtype=bool)
    names = sorted({name for found in counts if found for name in found}, key=drawing_order)
    for name in names:
        values = [np.nan if not found else found.get(name, 0) for found in counts]
        columns[name] = (style_of(name).label, np.array(values, dtype=float))
    genomes = [_NOTHING if text is None else _leaves(text) for text in _texts(trials["genome"])]
    garbled |= np.array([found is None for found in genomes], dtype=bool)
    for path in dict.fromkeys(path for found in genomes if found for path in found):
        name = _slug(path)
        if name not in columns:
            columns[name] = (re.sub(r"[_.]+", " ", path), _column([(found or _NOTHING).get(path) for found in genomes]))
    kept: list[Gene] = []
    for name, (label, column) in columns.items():
        # A genome often repeats what the architecture says: its hidden_size is the width.
        if _varies(column) and not any(_same(column, other.values) for other in kept):
            kept.append(Gene(name=name, label=label, values=column))
    return Genes(genes=tuple(kept), num_garbled=int(garbled.sum()))


def operator_counts(pattern: object) -> Mapping[str, int]:
    """Return the number of operators by the name that styles know; empty for a pattern that cannot be read."""
    return (_operators(pattern) if isinstance(pattern, str) else None) or _NOTHING


@lru_cache(maxsize=_KEPT)
def _operators(pattern: str) -> Mapping[str, int] | None:
    try:
        letters = parse_pattern(pattern)
    except SpecError:
        return None
    counts: Counter[str] = Counter()
    for letter, times in Counter(letters).items():
        counts["fla" if letter.startswith("fla:") else _BY_LETTER.get(letter, letter)] += times
    return counts


@lru_cache(maxsize=_KEPT)
def _leaves(genome: str) -> Mapping[str, Any] | None:
    """Return the scalars of a genome by path; none where it is no JSON object."""
    try:
        tree = json.loads(genome)
    except ValueError:
        return None
    return dict(_walk(tree, "")) if isinstance(tree, dict) else None


def _walk(node: object, path: str) -> Iterator[tuple[str, Any]]:
    match node:
        case dict():
            for key, child in node.items():
                yield from _walk(child, f"{path}.{key}" if path else str(key))
        case list():
            yield f"number of {path}", float(len(node))
            if len(node) <= MAX_LIST:
                for place, child in enumerate(node, start=1):
                    yield from _walk(child, f"{path} {place}")
        case bool():
            yield path, "yes" if node else "no"
        case int() | float():
            yield path, float(node)
        case str():
            yield path, node
            groups = len(re.findall(r"\)x\d", node))
            if groups:
                yield f"number of {path}", float(groups)


def _texts(column: "pd.Series[Any]") -> list[str | None]:
    return [value if isinstance(value, str) else None for value in column.tolist()]


def _column(values: list[Any]) -> NDArray[Any]:
    """Return numbers where all that is known are numbers, otherwise words."""
    if all(value is None or isinstance(value, float) for value in values):
        return np.array([np.nan if value is None else value for value in values], dtype=float)
    words = [f"{value:g}" if isinstance(value, float) else value for value in values]
    return np.array(words, dtype=object)


def _varies(column: NDArray[Any]) -> bool:
    if column.dtype.kind == "f":
        known = column[np.isfinite(column)]
        return bool(known.size and known.min() < known.max())
    return 1 < len({value for value in column if value is not None}) <= MAX_WORDS


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.dtype == other.dtype and bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))


def _slug(path: str) -> str:
    return re.sub(r"[^\w.]+", "_", path).strip("_")
