"""Whether the search is running, whether it is getting better, and what it has cost."""

from collections.abc import Mapping
from functools import partial

from dashboards.analysis.best_under_budget import Budget, affordable, budget_of
from dashboards.analysis.selection import records
from dashboards.elements import Element, Graph, Node, element, slot
from dashboards.figures.comparison import comparison_decimals, comparison_figure
from dashboards.figures.progress import progress_figure
from dashboards.frame import Results
from dashboards.pages.training import training_section
from dashboards.parts.failures import failures_table
from dashboards.parts.running import places, running_table
from dashboards.parts.spending import spending_table
from dashboards.text import common_decimals, number
from dashboards.view import View
from dashboards.views.section import section


def progress_view(results: Results, view: View, overlaid: Mapping[str, Results]) -> list[Element]:
    """Return the sections of progress."""
    budget = budget_of(results, view)
    figure = progress_figure(results, over=view.over, budget=budget, overlaid=overlaid)
    what = f"{results.objectives[0].label.lower()} found so far"
    progress = f"Left, the hypervolume of everything found so far: higher is better. Right, the best {what}."
    comparison = (
        "The hypervolume of as many random as evolved candidates, each half alone, with the seed noise beside it."
    )
    return [
        section(
            "search",
            "Search progress",
            progress,
            slot("progress-choices", "div", *_choices(results, view, budget), class_="choices"),
            Graph(name="progress", figure=figure, label=progress),
        ),
        section(
            "under-way",
            "Under way",
            "The candidates that are evaluated now, and the places they are evaluated at.",
            slot("places", "div", *places(results)),
            slot("running", "div", *running_table(results, view)),
            is_half=True,
        ),
        section(
            "spending",
            "Spent so far",
            "Training of the candidates that ended, and how fast they came.",
            slot("spending", "div", *spending_table(results)),
            is_half=True,
        ),
        section(
            "failures",
            "Failures",
            "Candidates that brought no result, by what went wrong.",
            slot("failures", "div", *failures_table(results, view)),
            is_half=True,
        ),
        section(
            "evolution",
            "Did evolution beat random search?",
            comparison,
            slot("comparison", "div", *_verdict(results)),
            Graph(name="comparison", figure=comparison_figure(results), label=comparison),
            is_half=True,
        ),
        *([training_section(results.trainings)] if results.trainings else []),
    ]


def _choices(results: Results, view: View, budget: Budget | None) -> list[Node]:
    links = [
        element(
            "a",
            words,
            href=view.link(over=over),
            **({"aria_current": "true"} if view.over == over else {}),
        )
        for over, words in (("candidates", "Over candidates"), ("time", "Over time"))
    ]
    chosen: list[Node] = [element("span", *links, class_="switch", data_live="")]
    if budget is not None:
        chosen.append(element("span", *_best_within(results, view, budget), class_="note"))
    return chosen


def _best_within(results: Results, view: View, budget: Budget) -> list[Node]:
    quality = results.objectives[0]
    rows = affordable(results, budget).dropna(subset=[quality.column])
    words = f"Within {budget.words} ({budget.origin}): "
    if rows.empty:
        return [f"{words}nothing yet."]
    best = records(rows.sort_values([quality.column, "number"]).head(1))[0]
    value = number(best[quality.column], decimals=common_decimals(results.trials[quality.column]))
    link = element("a", f"#{best['number']}", href=view.link(page="candidate", trial=int(best["number"])))
    return [f"{words}{quality.label.lower()} {value} {quality.unit}".rstrip() + ", ", link]


def _verdict(results: Results) -> list[Node]:
    comparison = results.comparison
    if comparison is None:
        return []
    write = partial(number, decimals=comparison_decimals(comparison))
    pairs = (
        (f"Random, {comparison.num_each}", write(comparison.random_hypervolume)),
        (f"Evolved, {comparison.num_each}", write(comparison.evolved_hypervolume)),
        ("Difference", f"{'+' if comparison.difference > 0 else ''}{write(comparison.difference)}"),
        ("Seed noise", "not measured" if comparison.noise is None else f"± {write(comparison.noise)}"),
    )
    cells = [element("div", element("dt", label), element("dd", value)) for label, value in pairs]
    return [element("p", comparison.sentence, class_="verdict"), element("dl", *cells, class_="comparison")]
