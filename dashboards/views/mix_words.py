"""What the operators of the frontier come to, in words."""

from dashboards.analysis.genes import operator_counts
from dashboards.analysis.selection import frontier
from dashboards.elements import Node, element
from dashboards.figures.operator_mix import MAX_ROWS, num_left_out
from dashboards.frame import Results
from dashboards.operators_style import drawing_order, style_of
from dashboards.text import percent


def mix_sentences(results: Results) -> list[Node]:
    """Return how the mix differs between the cheap and the dear half of the frontier."""
    counts = [found for found in map(operator_counts, frontier(results)["pattern"]) if found]
    if len(counts) < 4:
        return []
    half = len(counts) // 2
    names = sorted({name for found in counts for name in found}, key=drawing_order)
    parts = []
    for name in names:
        cheap, dear = (
            sum(found.get(name, 0) / sum(found.values()) for found in group) / half
            for group in (counts[:half], counts[-half:])
        )
        parts.append(f"{style_of(name).label} {percent(cheap)} → {percent(dear)}")
    cost = results.objectives[:2][-1].label.lower()
    words = f"Mean share of the operators, from the half with less {cost} to the half with more: {', '.join(parts)}."
    left_out = num_left_out(results)
    notes = [f"{MAX_ROWS} members are drawn, evenly chosen; {left_out:,} lie between them."] if left_out else []
    return [element("p", words), *(element("p", note, class_="note") for note in notes)]
