"""Which score ranked a run's candidates, and why that one: in words, for the report and the terminal.

A search ranks by raw perplexity. Whether projected perplexity would have ranked better is judged out of sample, by the
run's own longer trainings.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nas.fidelity.files import FOLDER, JOURNAL, REPORT

if TYPE_CHECKING:
    from nas.fidelity.report import FidelityReport

SCORE: Final = "raw perplexity"

FEW: Final = 10
"""Candidates trained longer below which resampling them gives intervals that are too narrow to choose by."""


def ranked_by(path: Path) -> dict[str, Any]:
    """Return the `score` that ranked the run in a directory, and `why`.

    Raises:
        StudyError: its `fidelity.json` cannot be read.
    """
    report = None
    if (path / REPORT).is_file():
        from nas.fidelity.report import load_report  # with scipy, which most runs do without

        report = load_report(path)
    return {"score": SCORE, "why": _without_trainings(path) if report is None else judged(report, path=path)}


def judged(report: "FidelityReport", *, path: Path) -> str:
    """Return what longer trainings say of ranking by projected perplexity instead.

    Args:
        report: of the run.
        path: the run directory, for what to call next.
    """
    from nas.fidelity.statistics import LIKELY_WORSE, PROJECTED, RAW

    longest = report.longest
    raw, projected = longest.scores[RAW].spearman, longest.scores[PROJECTED].spearman
    share = longest.projection_beats_perplexity
    figures = (
        f"over {len(longest.trials)} candidates trained {longest.times:g} times as long, projected perplexity ranks "
        f"with a Spearman correlation of {projected.value:.2f} out of sample and raw with {raw.value:.2f}; projected "
        f"is better in {share:.0%} of the draws, raw in {longest.perplexity_beats_projection:.0%}"
    )
    if len(longest.trials) < FEW:
        return f"{figures}, of too few candidates to choose by"
    if share >= LIKELY_WORSE:
        return f"{figures}: rank by it with nas proxy score {path}"
    if longest.perplexity_beats_projection >= LIKELY_WORSE:
        return f"{figures}: raw is the better one here"
    return f"{figures}, which does not tell the two apart"


def without_record(path: Path) -> str:
    """Return why the run in a directory has no record of fidelity: of too few longer trainings none is written."""
    amount = "too little" if (path / FOLDER / JOURNAL).is_file() else "nothing"
    return f"{amount} of this run was trained longer"


def _without_trainings(path: Path) -> str:
    return (
        f"{without_record(path)}, so whether projected perplexity ranks better is not known; "
        f"nas proxy fidelity {path} tells"
    )
