"""From a fitted scaling law and the latency table of its run to what `dashboards/pages/scaling.py` draws."""

from collections.abc import Sequence
from typing import Final

from dashboards.pages.scaling import Choice, DepthCurve, DrawnPoint, ScalingPicture
from nas.run import Run
from nas.scaling.intervals import COVERED
from nas.scaling.recommendation import PricedSetting, Recommendation, budget_steps, measured_widths, price, recommend
from nas.scaling.study import ScalingStudy
from search_spaces import DepthWidthSpace

NUM_BUDGETS: Final = 60
"""Along the line of the least predicted perplexity."""


def scaling_picture(study: ScalingStudy, run: Run) -> ScalingPicture:
    """Return the picture of a law; without curves where depth and width alone do not price a model."""
    settings: Sequence[PricedSetting] = ()
    choices: list[Recommendation] = []
    if isinstance(run.space, DepthWidthSpace):
        settings = priced_between(study, run)
        choices = recommend(
            study.fitted,
            settings,
            budgets_ms=budget_steps(settings, num=NUM_BUDGETS),
            points=study.points,
            tokens=study.points[-1].tokens,
        )
    trained = {point.depth for point in study.points}
    findings = [
        f"{'L0' if name == 'l0' else name} = {study.fitted.law.parameters[name]:.3g}, {COVERED:.0%} of the resampled "
        f"fits within {low:.3g} to {high:.3g}"
        for name, (low, high) in study.fitted.intervals.items()
    ]
    if study.held_out is not None:
        findings.append(study.held_out.describe())
    return ScalingPicture(
        title=f"Scaling law: {study.name}",
        subject=". ".join(f"{key.capitalize()}: {value}" for key, value in study.provenance.items()),
        law=study.fitted.law.describe(),
        findings=findings,
        caveats=study.caveats,
        points=[
            DrawnPoint(
                depth=point.depth,
                width=point.width,
                num_parameters=point.num_parameters,
                latency_ms=point.latency_ms,
                measured=point.perplexity,
                predicted=study.predicted(point),
                is_held_out=study.is_held_out(point),
            )
            for point in study.points
        ],
        curves=[
            _curve(study, [setting for setting in settings if setting.depth == depth])
            for depth in sorted(trained & {setting.depth for setting in settings})
        ],
        choices=[
            Choice(
                budget_ms=found.budget_ms,
                depth=found.setting.depth,
                width=found.setting.width,
                latency_ms=found.setting.latency_ms,
                perplexity=found.perplexity,
                low=found.interval[0],
                high=found.interval[1],
            )
            for found in choices
        ],
    )


def priced_between(study: ScalingStudy, run: Run) -> Sequence[PricedSetting]:
    """Return every depth between those trained at every width the run's table prices."""
    assert isinstance(run.space, DepthWidthSpace)
    table, workload = run.table(), run.config.latency.workload
    depths = [point.depth for point in study.points]
    return price(
        run.space,
        depths=range(min(depths), max(depths) + 1),
        widths=measured_widths(run.space, table=table, workload=workload),
        table=table,
        workload=workload,
    ).settings


def _curve(study: ScalingStudy, settings: Sequence[PricedSetting]) -> DepthCurve:
    ordered = sorted(settings, key=lambda setting: setting.width)
    tokens = study.points[-1].tokens
    return DepthCurve(
        depth=ordered[0].depth,
        widths=[setting.width for setting in ordered],
        latencies_ms=[setting.latency_ms for setting in ordered],
        perplexities=[float(study.fitted.law.predict(s.depth, s.width, tokens)) for s in ordered],
    )
