"""The section where a reader picks candidates out by their properties: parallel axes, the scatter, and the words."""

from dashboards.analysis.genes import garbled_words
from dashboards.analysis.picking import Candidates, Picked, candidates_to_pick, pick
from dashboards.elements import Element, Graph, Node, element, slot
from dashboards.figures.parallel import MAX_LINES, parallel_figure
from dashboards.figures.picked import picked_figure
from dashboards.frame import Results
from dashboards.view import View
from dashboards.views.section import section


def brushing(results: Results, view: View) -> list[Element]:
    """Return the section."""
    candidates = candidates_to_pick(results)
    picked = pick(candidates, view.brush)
    words = (
        "Each line is a candidate; thick ones are the frontier. Drag along an axis to pick out a range, drag a range "
        "to move it, press beside it to take it back."
    )
    below = "The same candidates over the first two objectives: those not picked out step back."
    return [
        section(
            "properties",
            "What the good ones have in common",
            words,
            slot("picked", "div", *_sentences(candidates, picked, view), class_="brush-words"),
            Graph(name="parallel", figure=parallel_figure(candidates, picked, chosen=view.trial), label=words),
            _type_instead(candidates, picked),
            Graph(name="picked", figure=picked_figure(candidates, picked, results, chosen=view.trial), label=below),
        )
    ]


def picked_sentence(candidates: Candidates, picked: Picked) -> str:
    """Return what is picked out, in words, as in `37 of 900 candidates picked out: Latency 1–2 ms, Depth 8–12`."""
    total = f"{len(candidates.rows):,} candidates"
    if not picked.ranges:
        return f"All {total} are picked out."
    parts = []
    for axis in candidates.axes:
        if axis.name in picked.ranges:
            ends = dict.fromkeys(map(axis.written, picked.ranges[axis.name]))
            parts.append(f"{axis.label} {'–'.join(ends)} {axis.unit}".strip())
    return f"{int(picked.mask.sum()):,} of {total} picked out: {', '.join(parts)}."


def _sentences(candidates: Candidates, picked: Picked, view: View) -> list[Node]:
    hidden = {} if picked.ranges or picked.unknown else {"hidden": "hidden"}
    clear = element("a", "Pick all again", href=view.link(brush={}), data_brush_clear="", class_="button", **hidden)
    sentence = element("strong", picked_sentence(candidates, picked), data_brush_sentence="", aria_live="polite")
    first = element("p", sentence, " ", clear)
    notes = []
    if picked.unknown:
        notes.append(f"The link picks by {', '.join(picked.unknown)}, which this study has no axis for.")
    if int((~candidates.is_frontier).sum()) > MAX_LINES:
        notes.append(
            f"Lines are drawn for the frontier and an even sample of {MAX_LINES:,} of the others that are picked out; "
            "the scatter below has all."
        )
    if candidates.num_without:
        notes.append(f"{candidates.num_without:,} more finished without a finite value of the first objectives.")
    if candidates.num_garbled:
        notes.append(garbled_words(candidates.num_garbled))
    return [first, *(element("p", note, class_="note") for note in notes)]


def _type_instead(candidates: Candidates, picked: Picked) -> Element:
    """Return the ends of every range as fields to type in: the same without a mouse."""
    ranges = slot("brush-fields", "div", *_ranges(candidates, picked), class_="ranges")
    return element("details", element("summary", "Type ranges instead"), ranges, class_="brush-fields")


def _ranges(candidates: Candidates, picked: Picked) -> list[Node]:
    rows: list[Node] = []
    for axis in candidates.axes:
        ends = picked.ranges.get(axis.name)
        unit = f", {axis.unit}" if axis.unit else ""
        fields = [
            element(
                "label",
                element("span", f"{axis.label} ", class_="unseen"),
                word,
                element(
                    "input",
                    type="text",
                    size="9",
                    placeholder=axis.written(limit),
                    value="" if ends is None else f"{ends[place]:.6g}",
                ),
                data_brush_column=axis.name,
                data_brush_end=str(place),
                class_="field",
            )
            for place, (word, limit) in enumerate((("from", axis.low), ("to", axis.high)))
        ]
        rows.append(element("div", element("span", f"{axis.label}{unit}"), *fields, class_="range"))
    return rows
