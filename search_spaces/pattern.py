"""Pattern notation: operators in order, by letter, as in `(d f m2 f)x3 a f`.

Only letters here; `dimensions.py` gives them sizes.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from search_spaces.errors import SpecError, near_miss
from search_spaces.specs import FLA_PREFIX

LETTERS: Final = {
    "a": "attention",
    "w": "sliding-window attention",
    "m1": "mamba1",
    "m2": "mamba2",
    "d": "deltanet",
    "gd": "gated deltanet",
    "hh": "hybrid head",
    "f": "ffn",
}
"""Every letter and the operator it stands for; beside them `fla:` and the name of a layer is one, as in `fla:kda`."""

MAX_OPERATORS: Final = 4096
"""A longer pattern is taken for a typing error."""

_TOKEN = re.compile(
    r"\s*(?:(?P<open>\()|\)\s*x\s*(?P<times>\d+)|(?P<bare>\))|(?P<letter>[A-Za-z0-9_:*-]+)|(?P<other>\S))"
)


def parse_pattern(text: str) -> tuple[str, ...]:
    """Return the letters of a pattern, repetitions written out.

    Raises:
        SpecError: an unknown letter, an unbalanced parenthesis, a repetition of zero, or nothing at all.
    """
    groups: list[list[str]] = [[]]
    position = 0
    while match := _TOKEN.match(text, position):
        token = match.group().strip()
        position = match.end()
        if match["open"]:
            groups.append([])
        elif match["letter"]:
            if not is_letter(token):
                raise SpecError(f"Pattern {text!r} has the unknown letter {token!r}.{near_letter(token)}")
            groups[-1].append(match["letter"])
        elif match["times"] and len(groups) > 1:
            group, times = groups.pop(), int(match["times"])
            if not group or not times:
                raise SpecError(f"Pattern {text!r} repeats nothing: every (…)xN needs operators and N of at least 1.")
            # One more than allowed is refused below; what a wrong count asks for is never built.
            groups[-1].extend(group * min(times, MAX_OPERATORS // len(group) + 1))
        elif match["bare"] and len(groups) > 1:
            raise SpecError(f"Pattern {text!r} closes a group without a count. Write (…)x2, for example.")
        else:
            raise SpecError(
                f"Pattern {text!r} has an unexpected {token!r}. Write letters and groups, as in (d f m2 f)x3."
            )
        if sum(map(len, groups)) > MAX_OPERATORS:
            raise SpecError(f"A pattern may hold at most {MAX_OPERATORS} operators; {text!r} holds more.")
    if len(groups) > 1:
        raise SpecError(f"Pattern {text!r} leaves a parenthesis open. Close it with )xN.")
    if not groups[0]:
        raise SpecError(f"A pattern needs at least one operator; got {text!r}.")
    return tuple(groups[0])


def is_letter(token: str) -> bool:
    """Whether a token stands for an operator."""
    return token in LETTERS or re.fullmatch(rf"{FLA_PREFIX}[a-z][a-z0-9_]*", token) is not None


def word_for(letter: str) -> str:
    """Return the name of the operator a letter stands for."""
    return LETTERS.get(letter) or f"{letter.removeprefix(FLA_PREFIX)} of fla"


def near_letter(token: str) -> str:
    """Return the remedy for an unknown letter; a word such as "mamba2", met more often, is answered with its letter."""
    by_name = {name: letter for letter, name in LETTERS.items()}
    if token.lower() in by_name:
        return f" Write {by_name[token.lower()]!r} for {token.lower()}."
    return near_miss(token, (*LETTERS, "fla:NAME"))


def format_pattern(letters: Sequence[str]) -> str:
    """Return the shortest pattern of these letters; `parse_pattern` is its inverse."""
    return _format(tuple(letters))


@lru_cache(maxsize=4096)
def _format(letters: tuple[str, ...]) -> str:
    # best[i]: cheapest writing of letters[i:] as (cost, text parts). A letter costs 1 and a group 1.5 on top of its
    # letters, so that "f f" stays as it is and "(a f)x2" is folded.
    total = len(letters)
    best: list[tuple[float, tuple[str, ...]]] = [(0.0, ())] * (total + 1)
    for start in range(total - 1, -1, -1):
        rest = best[start + 1]
        choice = (1 + rest[0], (letters[start], *rest[1]))
        for size in range(1, (total - start) // 2 + 1):
            unit = letters[start : start + size]
            times, end = 1, start + size
            while letters[end : end + size] == unit:
                times, end = times + 1, end + size
                cost = size + 1.5 + best[end][0]
                if cost < choice[0]:
                    choice = (cost, (f"({' '.join(unit)})x{times}", *best[end][1]))
        best[start] = choice
    return " ".join(best[0][1])
