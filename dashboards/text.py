"""Numbers and messages as people read them."""

import html
import math
import textwrap

import pandas as pd

MISSING = "–"


def is_missing(value: object) -> bool:
    """Whether a cell holds nothing."""
    return value is None or bool(pd.isna(value))  # type: ignore[call-overload]  # one cell, never an array


def number(value: object, *, decimals: int | None = None) -> str:
    """Return a number with thousands separated, to four significant digits unless `decimals` are given."""
    if is_missing(value):
        return MISSING
    amount = float(str(value))
    if not math.isfinite(amount):
        return "∞" if amount > 0 else "−∞"
    shown = significant_decimals(amount) if decimals is None else decimals
    text = f"{amount:,.{shown}f}" if shown <= 6 else f"{amount:.2e}"
    return text.replace("-", "−")


def common_decimals(values: "pd.Series[float]") -> int | None:
    """Return the decimals that suit a whole column, so that its points align; none for a column without numbers."""
    finite = values[(values > 0) & (values < math.inf)]
    return None if finite.empty else significant_decimals(float(finite.median()))


def significant_decimals(amount: float) -> int:
    """Return how many decimals show four significant digits."""
    return max(0, 3 - math.floor(math.log10(abs(amount)))) if amount else 0


def percent(share: float) -> str:
    """Return a share as whole percent, its sign never alone on a line."""
    return f"{100 * share:.0f}\u00a0%"


def whole(value: object) -> str:
    """Return an integer with thousands separated."""
    return MISSING if is_missing(value) else f"{int(str(value)):,}"


def count(value: object) -> str:
    """Return a large count in the field's short form: 965 M, 1.24 B."""
    if is_missing(value):
        return MISSING
    amount = float(str(value))
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if amount >= size * 0.9995:
            scaled = amount / size
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f} {unit}"
    return f"{amount:.0f}"


def duration(seconds: object) -> str:
    """Return a time span in its two largest units."""
    if is_missing(seconds):
        return MISSING
    total = float(str(seconds))
    if not math.isfinite(total):
        return f"{number(total)} s"
    if round(total) < 60:
        return f"{total:.0f} s"
    days, rest = divmod(round(total), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def hover_text(message: object, *, width: int = 64, max_lines: int = 6) -> str:
    """Return foreign text for a Plotly label: markup escaped, wrapped, cut after `max_lines`."""
    lines = textwrap.wrap(" ".join(str(message).split()), width=width) or [""]
    if len(lines) > max_lines:
        lines = [*lines[: max_lines - 1], lines[max_lines - 1][: width - 2] + " …"]
    return "<br>".join(html.escape(line, quote=False) for line in lines)
