"""The budget beside the picture of the frontier: a slider on what is drawn to the right, and what one would pick."""

import math
from typing import Final

from dashboards.analysis.plane import ACROSS, Plane, written
from dashboards.elements import Node, element
from dashboards.figures.pareto_budget import bound

NUM_STEPS: Final = 100
"""Places of the slider."""


def frontier_budget(plane: Plane) -> list[Node]:
    """Return the slider and the pick; nothing where what is drawn to the right is not minimised."""
    objective = plane.pick_objective
    if objective is None or plane.span is None:
        return []
    budget = plane.view.budget
    low, high, step = _ends(plane)
    slider = element(
        "input",
        type="range",
        min=f"{low:.6g}",
        max=f"{high:.6g}",
        step=f"{step:.6g}",
        value=f"{high if budget is None else min(max(budget, low), high):.6g}",
    )
    shown = "no limit" if budget is None else bound(plane.x, budget)
    parts: list[Node] = [
        element(
            "label",
            element(
                "span",
                f"{plane.x.label} budget",
                element("b", shown, class_="value", data_unit=plane.x.unit),
                class_="budget-name",
            ),
            slider,
            data_view="budget",
            class_="budget-slider",
        ),
        element("p", *_words(plane), class_="pick", aria_live="polite"),
    ]
    if budget is not None:
        parts.append(element("p", element("a", "No budget", href=plane.view.link(budget=None), class_="button quiet")))
    return [element("div", *parts, class_="panel budget", data_live="")]


def _words(plane: Plane) -> list[Node]:
    objective, budget, pick = plane.pick_objective, plane.view.budget, plane.pick
    assert objective is not None, "words about a budget need one"
    best = objective.label.lower()
    if budget is None:
        return [f"Set what a model may cost: the picture then shows the best {best} within it."]
    if pick is None:
        return [f"No finished candidate shown costs {bound(plane.x, budget)} or less."]
    number = int(pick["number"])
    link = plane.view.link(page="candidate", trial=number)
    value, cost = written(objective, float(pick[objective.column])), written(plane.x, float(pick[ACROSS]))
    return [
        "Pick ",
        element("a", f"#{number}", href=link),
        f": {best} {value} at {cost}, the best of {_num_within(plane):,} candidates within the budget.",
        *_price_of_more(plane, value=float(pick[objective.column])),
    ]


def _price_of_more(plane: Plane, *, value: float) -> list[Node]:
    """Say what the next better candidate beyond the budget would cost."""
    objective, budget = plane.pick_objective, plane.view.budget
    assert objective is not None, "words about a budget need one"
    members = plane.frontier
    beyond = members[(members[ACROSS] > budget) & (members[objective.column] < value)]
    if beyond.empty:
        return []
    following = beyond.iloc[0]
    gain = written(objective, float(following[objective.column]))
    cost = written(plane.x, float(following[ACROSS]))
    return [f" {cost} would buy {gain} (#{int(following['number'])})."]


def _num_within(plane: Plane) -> int:
    return int(((plane.rows["status"] == "finished") & (plane.rows[ACROSS] <= plane.view.budget)).sum())


def _ends(plane: Plane) -> tuple[float, float, float]:
    """Return round ends of the slider that hold every candidate, and its step."""
    assert plane.span is not None, "a slider stands over candidates"
    low, high = plane.span
    exact = ((high - low) or abs(high) or 1.0) / NUM_STEPS
    power = 10.0 ** math.floor(math.log10(exact))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= exact)
    return math.floor(low / step) * step, math.ceil(high / step) * step, step
