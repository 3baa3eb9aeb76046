"""Figures of tasks for the terminal, as `nas eval` and `nas proxy score` print them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nas.winners.evaluation.harness import TaskScore


def task_tables(scores: "Sequence[TaskScore]") -> str:
    """Return a model's tasks with means over sets, and published figures of the same tasks beside them."""
    from nas.cli.text_table import text_table
    from nas.winners.evaluation.harness import averages

    means = averages(scores)
    rows = [
        [
            score.task,
            score.set_name or "",
            score.metric,
            figure(score.value),
            "" if score.error is None else figure(score.error, of=score.value),
            str(score.num_shots),
            f"{score.num_questions:,}",
        ]
        for score in scores
    ]
    rows += [[f"mean of {name}", name, "", figure(value), "", "", ""] for name, value in means.items()]
    heads = ["task", "set", "metric", "value", "±", "examples", "questions"]
    table = text_table(heads, rows, right=[False, False, False, True, True, True, True])
    landmarks = _landmarks({**{score.task: score.value for score in scores}, **means})
    return f"{table}\n\n{landmarks}" if landmarks else table


def figure(value: float, *, of: float | None = None) -> str:
    """Return a share in percent, anything else as it is; an error like the value it belongs to."""
    return f"{100 * value:.2f} %" if 0 <= (value if of is None else of) <= 1 else f"{value:.4g}"


def _landmarks(mine: "Mapping[str, float]") -> str:
    from nas.cli.text_table import text_table
    from nas.winners.evaluation.published import published_beside

    beside = published_beside(mine)
    if not beside:
        return ""
    columns = [name for name in mine if any(name in one.scores for one in beside)]
    rows = [["this checkpoint", *(f"{100 * mine[name]:.1f}" for name in columns), ""]]
    rows += [
        [one.model, *(f"{one.scores[name]:.1f}" if name in one.scores else "" for name in columns), one.source]
        for one in beside
    ]
    return text_table(["published, %", *columns, "source"], rows, right=[False, *[True] * len(columns), False])
