"""Trials without their long texts, for what counts, adds up and draws thousands of them.

Taking rows copies every column of them: with genomes, architectures and curves among the columns, that is most of the
time a page takes. Whoever shows a candidate takes it from the results themselves.
"""

from typing import Final

import pandas as pd

from dashboards.analysis.selection import is_candidate
from dashboards.frame import Results

LONG_TEXTS: Final = (
    "mutation",
    "fingerprint",
    "genome",
    "architecture",
    "pattern",
    "latency_by_operator",
    "curve",
    "failure_message",
)


def light_trials(results: Results) -> pd.DataFrame:
    """Return every trial."""
    return results.trials.drop(columns=list(LONG_TEXTS))


def light_candidates(results: Results, *statuses: str) -> pd.DataFrame:
    """Return every trial but repeats; of these statuses, where any are named."""
    trials = light_trials(results)
    is_wanted = is_candidate(trials)
    return trials[is_wanted & trials["status"].isin(statuses)] if statuses else trials[is_wanted]
