"""From timed samples, or from what went wrong, to a row of the table. No clock and no torch here."""

from dataclasses import dataclass, replace

import numpy as np

from latency.rows import LatencyRow, RowKey
from operators.kernel_revision import revision_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What timing one row gave."""

    key: RowKey
    microseconds: tuple[float, ...] = ()
    backend: str = ""
    failure: str = ""
    """Why there are no samples."""

    def joined(self, later: "Samples") -> "Samples":
        """Return the samples of both; a failure counts only where neither has any."""
        microseconds = self.microseconds + later.microseconds
        return replace(
            later,
            microseconds=microseconds,
            backend=later.backend or self.backend,
            failure="" if microseconds else later.failure,
        )

    def row(self) -> LatencyRow:
        """Return the row: the median and the 20th and 80th percentile; NaN where there are no samples."""
        times_us = np.percentile(self.microseconds, (20, 50, 80)) if self.microseconds else (np.nan, np.nan, np.nan)
        p20_us, median_us, p80_us = map(float, times_us)
        return LatencyRow(
            key=self.key,
            median_us=median_us,
            p20_us=p20_us,
            p80_us=p80_us,
            samples=len(self.microseconds),
            backend=self.backend,
            kernel_revision=revision_of(self.backend),
            failure=self.failure,
        )


def describe_failure(error: Exception) -> str:
    """Return one line that says what kind of error it was and its first words."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
