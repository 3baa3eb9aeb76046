"""Which candidates a reader left in the picture: by status, origin, pattern and number.

Not which trials are candidates at all: that is `selection.py`.
"""

from typing import Final, get_args

import pandas as pd

from dashboards.frame import Origin, Status
from dashboards.view import View

DOMINATED: Final = "dominated"
"""Finished, and not on the frontier."""

REFERENCES: Final = "references"
"""Published architectures, which are no candidates but can be hidden like them."""

STATUS_WORDS: Final = {
    "finished": "finished",
    DOMINATED: "dominated",
    "infeasible": "over a limit",
    "failed": "failed",
    "stopped": "stopped early",
    "running": "running",
}
"""What can be hidden by status, and how it is called."""

ORIGIN_WORDS: Final = {
    "random": "random",
    "seed": "seeds",
    "mutation": "mutations",
    "crossover": "crossovers",
    "suggested": "suggested",
}
"""What can be hidden by origin, and how it is called."""


def shown(rows: pd.DataFrame, view: View) -> pd.DataFrame:
    """Return the candidates that the filters leave."""
    if not view.hide and not view.find.strip():
        return rows
    keep = ~(rows["status"].isin(view.hide) | rows["origin"].isin(view.hide))
    if DOMINATED in view.hide:
        keep &= (rows["status"] != "finished") | rows["is_frontier"].astype(bool)
    return _found(rows[keep], view.find.strip())


def num_by_word(rows: pd.DataFrame) -> dict[str, int]:
    """Return how many candidates each status and origin would hide, those that occur."""
    counts = {str(word): int(number) for word, number in rows["status"].value_counts().items()}
    counts |= {str(word): int(number) for word, number in rows["origin"].value_counts().items()}
    counts[DOMINATED] = int(((rows["status"] == "finished") & ~rows["is_frontier"].astype(bool)).sum())
    return {word: number for word, number in counts.items() if number}


def toggled(view: View, word: str) -> tuple[str, ...]:
    """Return what is hidden once this word is pressed."""
    rest = tuple(hidden for hidden in view.hide if hidden != word)
    return rest if word in view.hide else (*view.hide, word)


def unknown_words(view: View) -> list[str]:
    """Return what a link asks to hide and nobody knows."""
    known = {*get_args(Status), *get_args(Origin), DOMINATED, REFERENCES}
    return [word for word in view.hide if word not in known]


def _found(rows: pd.DataFrame, text: str) -> pd.DataFrame:
    """Return the rows whose pattern contains the text, or whose number it is; all for no text."""
    if not text:
        return rows
    digits = text.removeprefix("#")
    if digits.isdecimal():
        return rows[rows["number"] == int(digits)]
    # Letters of operators are separated by one space, however the text was typed.
    return rows[rows["pattern"].astype("str").str.contains(" ".join(text.split()), regex=False, na=False)]
