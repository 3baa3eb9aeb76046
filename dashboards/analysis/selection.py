"""Which trials a figure draws. A repeat measures noise and is never drawn as a candidate."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboards.analysis.per_frame import per_frame
from dashboards.frame import EVOLVED, Results
from dashboards.text import is_missing
from search_spaces import Architecture


def candidates(results: Results) -> pd.DataFrame:
    """Return every trial but repeats."""
    return results.trials[is_candidate(results.trials)]


def is_candidate(trials: pd.DataFrame) -> "pd.Series[bool]":
    """Return which trials are candidates of their own."""
    return (trials["origin"] != "repeat") & trials["repeat_of"].isna()


def is_member(trials: pd.DataFrame) -> "pd.Series[bool]":
    """Return which trials are members of the frontier."""
    return trials["is_frontier"].astype(bool) & (trials["status"] == "finished")


def with_status(results: Results, status: str) -> pd.DataFrame:
    """Return the candidates of one status."""
    return with_statuses(results, status)


def with_statuses(results: Results, *statuses: str) -> pd.DataFrame:
    """Return the candidates of any of these."""
    rows = candidates(results)
    return rows[rows["status"].isin(statuses)]


def frontier(results: Results) -> pd.DataFrame:
    """Return the non-dominated candidates from cheap to dear, by the last of the first two objectives."""
    return _frontier_of(results.trials, results.objectives[:2][-1].column)


@per_frame
def _frontier_of(trials: pd.DataFrame, column: str) -> pd.DataFrame:
    rows = trials[is_member(trials) & is_candidate(trials)]  # at once: taking the candidates first would copy them all
    return rows.sort_values([column, "number"])


def evaluated(results: Results) -> pd.DataFrame:
    """Return the candidates whose evaluation ended, well or not, in the order they were recorded."""
    return results.trials.iloc[_evaluated_places(results.trials)]


def evaluated_columns(results: Results, *columns: str) -> pd.DataFrame:
    """Return the same rows with these columns alone: copying the long texts of a large study takes its time."""
    return results.trials[list(columns)].iloc[_evaluated_places(results.trials)]


def _evaluated_places(trials: pd.DataFrame) -> NDArray[np.int64]:
    """Return where the evaluated candidates stand, in the order they were recorded."""
    is_over = trials["status"].isin(["finished", "failed", "stopped"]) & trials["finish_index"].notna()
    places = np.flatnonzero(is_over & is_candidate(trials))
    order = np.argsort(trials["finish_index"].iloc[places].to_numpy(dtype=np.int64), kind="stable")
    return places[order]


def is_evolved(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Return which rows the evolution proposed."""
    return rows["origin"].isin(EVOLVED)


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as mappings, in order."""
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict(orient="records")]


def architecture_of(row: Mapping[str, Any]) -> Architecture | None:
    """Return the architecture of a trial, or none where the study is not about language models.

    Raises:
        SpecError: the text is an architecture of another version.
    """
    text = row["architecture"]
    return None if is_missing(text) else Architecture.from_dict(json.loads(text))


def latency_by_operator(row: Mapping[str, Any]) -> dict[str, float]:
    """Return milliseconds by operator name; empty where latency was not predicted from a table."""
    text = row["latency_by_operator"]
    return {} if is_missing(text) else {str(name): float(value) for name, value in json.loads(text).items()}


def curve_of(row: Mapping[str, Any]) -> list[tuple[float, float | None, float | None]]:
    """Return (tokens, training loss, validation loss) along training; empty where none was kept."""
    text = row["curve"]
    return [] if is_missing(text) else [(point[0], point[1], point[2]) for point in json.loads(text)]
