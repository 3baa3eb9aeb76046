"""Latency table: what was measured on one device, one row a key.

It stores and finds rows; interpolating between them is `lookup.py`, adding them up to a model `predict.py`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Final, final

import pandas as pd

from latency.device import DeviceFingerprint, DeviceMismatchError, describe_differences
from latency.lookup import Lookup, UnmeasuredError
from latency.rows import LatencyRow, RowKey
from latency.table_file import read_table, write_table
from latency.validation import Validation, validation_for, with_validation
from latency.workload import Workload

__all__ = ["KEY_COLUMNS", "READ_BYTES_PER_SECOND", "VALUE_COLUMNS", "LatencyTable", "UnmeasuredError"]

KEY_COLUMNS = tuple(RowKey.__dataclass_fields__)
VALUE_COLUMNS = tuple(name for name in LatencyRow.__dataclass_fields__ if name != "key")

READ_BYTES_PER_SECOND: Final = "read_bytes_per_second"
"""Name in the metadata of what `bandwidth.py` measured."""


@final
class LatencyTable:
    """Rows by key, with the fingerprint of the device that gave them. Adding a row replaces the one of the same key."""

    SCHEMA_VERSION: ClassVar[int] = 3
    """3 counts the final norm as part of the head; tables of before are to be measured anew."""

    def __init__(
        self,
        *,
        fingerprint: DeviceFingerprint,
        rows: Iterable[LatencyRow] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.fingerprint = fingerprint
        self.metadata: dict[str, Any] = dict(metadata or {})
        """JSON-ready remarks that travel with the table, such as what a validation found."""
        self.path: Path | None = None
        """The file it was read from or last saved to; none where there is none yet."""
        self.accepts_outdated = False
        """Whether rows of other kernels of ours than those here count. Set it before the first prediction."""
        self._rows = {row.key: row for row in rows}
        self._lookup: Lookup | None = None
        self._validations: dict[Workload, Validation | None] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[LatencyRow]:
        return iter(self._rows.values())

    def get(self, key: RowKey) -> LatencyRow | None:
        """Return the row of exactly this key, a failed one too; none if there is none."""
        return self._rows.get(key)

    @property
    def measured(self) -> list[LatencyRow]:
        """The rows that hold a time."""
        return [row for row in self if not row.failure]

    @property
    def failed(self) -> list[LatencyRow]:
        """The rows whose measurement failed, each saying why."""
        return [row for row in self if row.failure]

    @property
    def lookup(self) -> Lookup:
        """The rows prepared for interpolation; made once and again after a row was added."""
        if self._lookup is None:
            self._lookup = Lookup(row for row in self.measured if self.accepts_outdated or not row.is_outdated)
        return self._lookup

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a frame: the columns of `KEY_COLUMNS`, then those of `VALUE_COLUMNS`."""
        records = [
            {**asdict(row.key), **{name: getattr(row, name) for name in VALUE_COLUMNS}} for row in self._rows.values()
        ]
        return pd.DataFrame.from_records(records, columns=[*KEY_COLUMNS, *VALUE_COLUMNS])

    @property
    def read_bytes_per_second(self) -> float | None:
        """Bytes a second that the device reads from its memory; none if that was never measured."""
        value = self.metadata.get(READ_BYTES_PER_SECOND)
        return None if value is None else float(value)

    def validation(self, workload: Workload) -> Validation | None:
        """Return the check of this table against whole models that speaks for a workload, if there was one."""
        if workload not in self._validations:
            self._validations[workload] = validation_for(self.metadata, workload)
        return self._validations[workload]

    def add_validation(self, validation: Validation) -> None:
        """Keep what a check found; it takes the place of an earlier one of the same workload."""
        self.metadata = with_validation(self.metadata, validation)
        self._validations.clear()

    def add(self, row: LatencyRow) -> None:
        """Put in one row."""
        self._rows[row.key] = row
        self._lookup = None

    def merge(self, other: "LatencyTable") -> None:
        """Put in every row of a table of the same device and software; its rows win over equal keys.

        A bandwidth that only the other one has comes along; what validations found does not.

        Raises:
            DeviceMismatchError: the other table was measured on another device or with other versions.
        """
        differing = self.fingerprint.device_differences(other.fingerprint)
        differing |= self.fingerprint.version_differences(other.fingerprint)
        if differing:
            raise DeviceMismatchError(
                "Only tables of one device and one set of versions can be merged; they differ in "
                f"{describe_differences(differing)}. Keep them as two tables."
            )
        for row in other:
            self.add(row)
        if self.read_bytes_per_second is None and other.read_bytes_per_second is not None:
            self.metadata[READ_BYTES_PER_SECOND] = other.read_bytes_per_second

    def save(self, path: Path | str) -> None:
        """Write the table as parquet; a reader sees the old file or the new one, never a part."""
        header = {
            "schema_version": self.SCHEMA_VERSION,
            "fingerprint": self.fingerprint.to_dict(),
            "metadata": self.metadata,
        }
        write_table(self.frame, header=header, path=Path(path))
        self.path = Path(path)

    @classmethod
    def load(cls, path: Path | str) -> "LatencyTable":
        """Read what `save` wrote.

        Raises:
            TableFileError: no such file, a truncated one, one that is no latency table, or another schema version.
        """
        frame, header = read_table(
            Path(path), columns=(*KEY_COLUMNS, *VALUE_COLUMNS), schema_version=cls.SCHEMA_VERSION
        )
        rows = []
        for record in frame.to_dict(orient="records"):
            key = RowKey(**{name: record[name] for name in KEY_COLUMNS})
            rows.append(LatencyRow(key=key, **{name: record[name] for name in VALUE_COLUMNS}))
        table = cls(
            fingerprint=DeviceFingerprint.from_dict(header["fingerprint"]), rows=rows, metadata=header["metadata"]
        )
        table.path = Path(path)
        return table
