"""What changed between two tables: rows that one of them lacks, and times that moved. Compares; measures nothing."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from latency.rows import LatencyRow, RowKey
from latency.table import LatencyTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row both tables hold."""

    key: RowKey
    before_us: float
    after_us: float

    is_beyond_noise: bool
    """Whether the two rows' ranges from the 20th to the 80th percentile lie apart."""

    @property
    def ratio(self) -> float:
        """After over before; above 1 is slower. An overhead may be 0: infinite where it was and is no more."""
        if self.before_us == self.after_us:
            return 1.0
        return self.after_us / self.before_us if self.before_us else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDifference:
    """Two tables side by side."""

    fingerprints: Mapping[str, tuple[object, object]]
    """What differs in device and versions, by name."""

    changes: tuple[Change, ...]
    """The largest ratio, up or down, first."""

    only_before: tuple[RowKey, ...]
    only_after: tuple[RowKey, ...]

    @property
    def median_ratio(self) -> float:
        """Median of the ratios; NaN where the tables share no row."""
        return median(change.ratio for change in self.changes) if self.changes else math.nan

    @property
    def num_beyond_noise(self) -> int:
        """Rows that moved by more than their noise."""
        return sum(change.is_beyond_noise for change in self.changes)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            "fingerprints": {name: list(map(str, pair)) for name, pair in self.fingerprints.items()},
            "median_ratio": self.median_ratio if math.isfinite(self.median_ratio) else None,
            "changes": [
                {**asdict(change), "ratio": change.ratio if math.isfinite(change.ratio) else None}
                for change in self.changes
            ],
            "only_before": [asdict(key) for key in self.only_before],
            "only_after": [asdict(key) for key in self.only_after],
        }


def difference(before: LatencyTable, after: LatencyTable) -> TableDifference:
    """Compare the measured rows of two tables, of any devices."""
    old = {row.key: row for row in before.measured}
    new = {row.key: row for row in after.measured}
    changes = [_change(old[key], new[key]) for key in old if key in new]
    return TableDifference(
        fingerprints=before.fingerprint.device_differences(after.fingerprint)
        | before.fingerprint.version_differences(after.fingerprint),
        changes=tuple(sorted(changes, key=lambda change: -abs(math.log(change.ratio) if change.ratio else -math.inf))),
        only_before=tuple(key for key in old if key not in new),
        only_after=tuple(key for key in new if key not in old),
    )


def _change(before: LatencyRow, after: LatencyRow) -> Change:
    return Change(
        key=before.key,
        before_us=before.median_us,
        after_us=after.median_us,
        is_beyond_noise=before.p80_us < after.p20_us or after.p80_us < before.p20_us,
    )
