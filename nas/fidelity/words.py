"""What a fidelity report finds, in sentences: the same on the terminal and in the picture."""

import math
from typing import Final

from nas.fidelity.report import FidelityReport
from nas.fidelity.statistics import LIKELY_WORSE, PROJECTED, RAW
from proxies.traits import DEPTH, PARAMETERS, SHARE, WIDTH

_NAMES: Final = {
    RAW: "perplexity in the search",
    PROJECTED: "projected perplexity",
    "num_parameters": "parameters",
    "num_non_embedding_parameters": "parameters without embedding",
    "flops_per_token": "FLOPs per token",
    "depth": "number of operators",
    "snip": "SNIP",
    "gradient_norm": "gradient norm",
}


_LOGARITHMS: Final = {PARAMETERS: "parameters", DEPTH: "depth", WIDTH: "width"}


def score_label(name: str) -> str:
    """Return what people call a score."""
    return _NAMES.get(name, name)


def findings(report: FidelityReport) -> list[str]:
    """Return sentences with the figures found, the most important first."""
    longest = report.longest
    raw, projected = longest.scores[RAW], longest.scores[PROJECTED]
    found = [
        f"The run's perplexity ranks {len(longest.trials)} candidates as training {longest.times:g} times as long with "
        f"a Spearman correlation of {raw.spearman}; its first choice is {_percent(raw.regret)} worse than the best.",
        f"Projected by size, shape and operators, out of sample, the correlation is {projected.spearman}; it ranks "
        f"better in {_percent(longest.projection_beats_perplexity)} of the draws. Its first choice is "
        f"{_percent(projected.regret)} worse than the best.",
        _cheapest(report),
        f"Projection: {describe_projection(report)}",
    ]
    if report.noise:
        spread = ", ".join(f"{_percent(noise.deviation)} at {noise.times:g}×" for noise in report.noise)
        found.append(f"Another seed changes perplexity by {spread} (one standard deviation).")
    return found


def describe_projection(report: FidelityReport) -> str:
    """Return the learnt formula."""
    projection = report.projection
    terms = " ".join(
        f"{weight:+.3f} {_term(name, projection.means[name])}" for name, weight in projection.weights.items()
    )
    return (
        f"ln p = {projection.constant:+.3f} {projection.perplexity_weight:+.3f} ln p(run) {terms}, learnt from "
        f"{projection.num_long_trainings} trainings {report.longest.times:g} times as long."
    ).replace("-", "−")


def _term(trait: str, mean: float) -> str:
    """Return a trait as it stands in the formula, zero at its mean."""
    if trait.startswith(SHARE):
        return f"(share of {trait.removeprefix(SHARE)} {-mean:+.2f})"
    return f"ln({_LOGARITHMS[trait]} / {math.exp(mean):,.3g})"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _cheapest(report: FidelityReport) -> str:
    cheapest = report.cheapest
    if cheapest is not None:
        return (
            f"The shortest training that ranks as well as the run's, as far as these candidates tell, is "
            f"{cheapest.times:g} times as long: {cheapest.spearman}; the run's ranks better in "
            f"{_percent(cheapest.run_is_better)} of the draws, and {_percent(LIKELY_WORSE)} would count as worse."
        )
    if report.shorter:
        return "No training shorter than the run's ranks as well as it."
    return "Whether shorter trainings rank as well was not tried: give --times lengths below 1."
