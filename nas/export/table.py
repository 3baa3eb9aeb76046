"""Formats `csv` and `parquet`: all trials of a study, one row each. The columns are those of `dashboards/frame.py`."""

from pathlib import Path
from typing import Final

from nas.results.frame import results_frame
from nas.run import Run

TABLE_FORMATS: Final = ("csv", "parquet")


def write_table(run: Run, file: Path, *, format_name: str) -> None:
    """Write every trial of a run's study, ended or running, into a new file."""
    frame = results_frame(run.study.history(), run.study.running(), measured_ms=run.measured_ms())
    if format_name == "csv":
        frame.to_csv(file, index=False)
    else:
        frame.to_parquet(file, index=False)
