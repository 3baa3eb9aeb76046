"""One architecture in detail: its stages, its strip, and each distinct operator with its dimensions."""

from collections import Counter
from itertools import pairwise

from dashboards.analysis.stages import PatternStage, stages_of
from dashboards.elements import Element, Node, element
from dashboards.operators_style import operator_name, style_of
from dashboards.parts.architecture import describe_operator, legend, strip
from dashboards.text import whole
from search_spaces import Architecture, OperatorSpec


def anatomy(architecture: Architecture) -> list[Element]:
    """Return the parts of the drawing, from the whole to the details."""
    stages = stages_of(architecture.letters)
    drawing = [legend([architecture])]
    written_out: list[Element] = []
    if any(stage.times > 1 for stage in stages):
        drawing.append(element("div", *(_stage(stage, architecture) for stage in stages), class_="stages"))
        written_out.append(element("h4", "Written out"))
    written_out.append(strip(architecture))
    return [
        element("p", *_outline(architecture, stages), class_="outline"),
        element("div", element("div", *drawing), element("div", operators_table(architecture)), class_="anatomy"),
        element("div", *written_out, class_="written-out"),
    ]


def operators_table(architecture: Architecture) -> Element:
    """Return each distinct operator with its dimensions and how many there are, the most frequent first."""
    words = [describe_operator(spec) for spec in architecture.operators]
    examples = dict(zip(words, architecture.operators, strict=True))
    places: dict[str, list[int]] = {}
    for index, text in enumerate(words):
        places.setdefault(text, []).append(index + 1)
    rows = [
        element(
            "tr",
            element("th", cell(examples[text]), scope="row"),
            element("td", text),
            element("td", whole(num), class_="number"),
            element("td", _spans(places[text]), class_="where"),
        )
        for text, num in Counter(words).most_common()
    ]
    titles = (("Letter", "word"), ("Operator", "word"), ("How many", "number"), ("Positions", "word"))
    head = element("tr", *(element("th", title, scope="col", class_=kind) for title, kind in titles))
    return element("table", element("thead", head), element("tbody", *rows), class_="plain")


def cell(spec: OperatorSpec) -> Element:
    """Return the coloured cell of an operator."""
    style = style_of(operator_name(spec))
    return element("span", style.letter, class_="cell", style=style.css, title=describe_operator(spec))


def _outline(architecture: Architecture, stages: list[PatternStage]) -> list[Node]:
    num_repeated = sum(stage.times > 1 for stage in stages)
    parts = [
        f"{whole(architecture.hidden_size)} wide",
        f"{architecture.depth} {'operator' if architecture.depth == 1 else 'operators'}",
        _stages_in_words(len(stages), num_repeated),
        f"vocabulary {architecture.vocab_size:,}",
    ]
    if architecture.num_meta_tokens:
        parts.append(f"{architecture.num_meta_tokens} meta tokens")
    parts.append("the head is the embedding" if architecture.tie_embeddings else "the head has weights of its own")
    return [f"{' · '.join(parts)} · ", element("code", architecture.pattern)]


def _stages_in_words(num_stages: int, num_repeated: int) -> str:
    if not num_repeated:
        return "no block is repeated"
    if num_stages == 1:
        return "1 block, repeated"
    return f"{num_stages} stages, {'all' if num_repeated == num_stages else num_repeated} of them repeated"


def _stage(stage: PatternStage, architecture: Architecture) -> Element:
    cells = [_place(stage, offset, architecture) for offset in range(len(stage.block))]
    first, last = stage.start + 1, stage.start + stage.num_operators
    where = f"operator {first}" if first == last else f"{first}–{last}"
    times: list[Node] = [element("b", f"× {stage.times}", class_="times")] if stage.times > 1 else []
    repeated = f", {stage.times} times" if stage.times > 1 else ""
    return element(
        "div",
        element("div", element("span", *cells, class_="block"), *times, class_="repeated"),
        element("small", where),
        class_="stage" if stage.times > 1 else "stage once",
        role="img",
        aria_label=f"{' '.join(stage.block)}{repeated}, {where}",
    )


def _place(stage: PatternStage, offset: int, architecture: Architecture) -> Element:
    specs = [architecture.operators[index] for index in stage.positions(offset)]
    words = list(dict.fromkeys(describe_operator(spec) for spec in specs))
    drawn = cell(specs[0])
    if len(words) == 1:
        return drawn
    # The repetitions of one place may differ in their dimensions: their letter is one, their sizes are not.
    return Element(tag=drawn.tag, attributes={**drawn.attributes, "title": "\n".join(words)}, children=drawn.children)


def _spans(places: list[int], *, most: int = 6) -> str:
    """Return places as spans: `1–4, 7, 9`; evenly spaced ones as `1, 3, … 23`."""
    steps = {after - before for before, after in pairwise(places)}
    if len(places) > 3 and len(steps) == 1 and steps != {1}:
        return f"{places[0]}, {places[1]}, … {places[-1]}"
    spans: list[list[int]] = []
    for place in places:
        if spans and place == spans[-1][1] + 1:
            spans[-1][1] = place
        else:
            spans.append([place, place])
    words = [str(first) if first == last else f"{first}–{last}" for first, last in spans]
    return ", ".join(words if len(words) <= most else [*words[: most - 1], f"… {words[-1]}"])
