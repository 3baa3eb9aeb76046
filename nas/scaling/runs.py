"""The scaling law of one or several runs: their points, what must be said of them, and where they come from."""

from collections.abc import Sequence

from nas.errors import UsageError
from nas.run import Run
from nas.scaling.law import varies_in_tokens
from nas.scaling.points import failures_of, operators_differ, points_of
from nas.scaling.study import ScalingStudy, study_points


def study_runs(runs: Sequence[Run], *, share_held_out: float) -> ScalingStudy:
    """Fit the law of the points of runs on one text.

    Args:
        runs: the first gives the name and the seed of the resampling.
        share_held_out: of the points, the largest.

    Raises:
        UsageError: the runs trained on different texts or in different spaces' terms.
        ScalingError: the points identify no law.
    """
    first = runs[0]
    texts = {run.environment()["corpus"]["sha256"] for run in runs}
    if len(texts) > 1:
        raise UsageError(
            f"Perplexities on different texts do not compare; these {len(runs)} runs have {len(texts)} texts. "
            "Put only runs on one text together."
        )
    if len({operators_differ(run) for run in runs}) > 1:
        raise UsageError("Depth counts blocks in a grid and operators elsewhere. Put only runs of one kind together.")
    points = [point for run in runs for point in points_of(run)]
    caveats = [
        f"Models of {run.config.name} differ in their operators too, not only in depth and width: the law is an "
        "average over them, and depth counts operators."
        for run in runs
        if operators_differ(run)
    ]
    tokens = sorted({point.tokens for point in points})
    if len(tokens) > 1 and not varies_in_tokens(points):
        caveats.append(
            f"Points were trained on {' and '.join(f'{count:,}' for count in tokens)} tokens; two counts give tokens "
            "no term of their own, and the difference counts as noise."
        )
    provenance = first.results().provenance
    return study_points(
        points,
        name=first.config.name,
        share_held_out=share_held_out,
        seed=first.config.seed,
        failures=[failure for run in runs for failure in failures_of(run)],
        caveats=caveats,
        provenance={key: provenance[key] for key in ("device", "workload", "proxy", "text")},
    )
