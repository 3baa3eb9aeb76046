"""Latency by operator as a table: the twin of the bars."""

from collections import Counter

from dashboards.elements import Element, Node, element
from dashboards.figures.operator_bars import OperatorBar, against_floor
from dashboards.operators_style import drawing_order, operator_name, style_of
from dashboards.text import number, whole
from search_spaces import Architecture


def operator_latency_table(bar: OperatorBar, architecture: Architecture | None) -> list[Element]:
    """Return the table; nothing where no latency is known."""
    if not bar.latency_ms:
        return []
    counts = Counter() if architecture is None else Counter(map(operator_name, architecture.operators))
    names = sorted({*bar.latency_ms, *bar.floor_ms}, key=drawing_order)
    rows = [_row(name, bar, counts.get(name)) for name in names]
    total = [element("th", "together", scope="row"), _cell(whole(sum(counts.values())) if counts else "")]
    total += [_cell(number(bar.total_ms)), _cell("100 %")]
    titles = ["Kind of operator", "How many", "ms", "Share"]
    if bar.floor_ms:
        titles += ["Floor ms", "Against the floor"]
        total += [_cell(number(bar.floor_total_ms)), _cell(against_floor(bar.total_ms, bar.floor_total_ms))]
    head = element(
        "tr",
        *(
            element("th", title, scope="col", class_="number" if index else "word")
            for index, title in enumerate(titles)
        ),
    )
    table = element(
        "table",
        element("thead", head),
        element("tbody", *rows, element("tr", *total, class_="total")),
        class_="plain",
    )
    return [table]


def _row(name: str, bar: OperatorBar, num: int | None) -> Element:
    style = style_of(name)
    value = bar.latency_ms.get(name, 0.0)
    swatch = element("span", style.letter, class_="cell", style=style.css)
    cells: list[Node] = [
        element("th", swatch, f" {style.label}", scope="row"),
        _cell("" if num is None else whole(num)),
        _cell(number(value)),
        _cell(f"{value / bar.total_ms:.1%}".replace("%", " %") if bar.total_ms else ""),
    ]
    if bar.floor_ms:
        floor = bar.floor_ms.get(name)
        cells += [_cell(number(floor)), _cell("" if floor is None else against_floor(value, floor))]
    return element("tr", *cells)


def _cell(text: str) -> Element:
    return element("td", text, class_="number")
