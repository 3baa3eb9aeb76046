"""From a fidelity report to what the dashboards draw of it."""

from dashboards.frame import Fidelity, LongerTrained, ScoreAgreement
from nas.fidelity.report import FidelityReport
from nas.fidelity.rows import FidelityRow
from nas.fidelity.statistics import RAW
from nas.fidelity.words import findings, score_label


def fidelity_picture(report: FidelityReport) -> Fidelity:
    """Return the longest trainings against the run, and how every score ranks."""
    longest = report.longest
    return Fidelity(
        times=longest.times,
        candidates=tuple(_candidate(row, times=longest.times) for row in report.rows if row.trial in longest.trials),
        scores=tuple(
            ScoreAgreement(
                name=score_label(name),
                spearman=agreement.spearman.value,
                low=agreement.spearman.low,
                high=agreement.spearman.high,
                is_ranked_by=name == RAW,
            )
            for name, agreement in longest.scores.items()
        ),
        findings=tuple(findings(report)),
    )


def _candidate(row: FidelityRow, *, times: float) -> LongerTrained:
    long = row.at(times)
    assert long is not None  # it is among the compared
    perplexities = row.trained[times].values()
    return LongerTrained(
        number=row.trial,
        perplexity=row.perplexity,
        long_perplexity=long,
        low=min(perplexities),
        high=max(perplexities),
        num_parameters=row.num_parameters,
        is_frontier=row.is_frontier,
    )
