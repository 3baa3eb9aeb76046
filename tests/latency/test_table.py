from dataclasses import replace

import pandas as pd
import pytest

from latency.device import DeviceMismatchError
from latency.rows import LatencyRow
from latency.table import KEY_COLUMNS, VALUE_COLUMNS, LatencyTable
from latency.table_file import TableFileError


@pytest.fixture
def table(hybrid, workload, make_table) -> LatencyTable:
    times = iter(1.0 + 1 / n for n in range(3, 1000))
    return make_table(hybrid, workload, lambda _: next(times))


def test_a_table_comes_back_from_its_file_bit_for_bit(table, tmp_path) -> None:
    table.metadata["note"] = {"residuals": [0.25, -0.5]}
    path = tmp_path / "deep" / "table.parquet"
    table.save(path)
    loaded = LatencyTable.load(path)
    assert list(loaded) == list(table)
    assert loaded.fingerprint == table.fingerprint
    assert loaded.metadata == table.metadata
    assert [entry.name for entry in path.parent.iterdir()] == ["table.parquet"]


def test_an_empty_table_can_be_saved(fingerprint, tmp_path) -> None:
    LatencyTable(fingerprint=fingerprint).save(tmp_path / "t.parquet")
    assert len(LatencyTable.load(tmp_path / "t.parquet")) == 0


def test_saving_over_a_table_replaces_it_whole(table, fingerprint, tmp_path) -> None:
    path = tmp_path / "t.parquet"
    table.save(path)
    LatencyTable(fingerprint=fingerprint, rows=list(table)[:3]).save(path)
    assert len(LatencyTable.load(path)) == 3


def test_a_failed_save_leaves_the_old_table_and_no_litter(table, tmp_path, monkeypatch) -> None:
    path = tmp_path / "t.parquet"
    table.save(path)
    before = path.read_bytes()

    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", fail)
    with pytest.raises(OSError, match="disk full"):
        table.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_frame_has_one_record_a_row(table) -> None:
    frame = table.frame
    assert list(frame.columns) == [*KEY_COLUMNS, *VALUE_COLUMNS]
    assert len(frame) == len(table)
    assert frame["median_us"].tolist() == [row.median_us for row in table]


def test_adding_a_row_replaces_the_one_of_the_same_key_and_the_lookup_sees_it(table) -> None:
    row = next(iter(table))
    before = len(table)
    assert table.lookup is table.lookup
    old = table.lookup
    table.add(replace(row, median_us=99.0))
    assert len(table) == before
    assert table.get(row.key).median_us == 99.0
    assert table.lookup is not old


def test_a_failed_row_is_kept_apart_from_the_measured_ones(table) -> None:
    row = next(iter(table))
    nan = float("nan")
    failed = replace(row, median_us=nan, p20_us=nan, p80_us=nan, samples=0, failure="out of memory")
    table.add(failed)
    assert table.failed == [failed]
    assert len(table.measured) == len(table) - 1


def test_merging_takes_the_rows_of_the_other_table(table, fingerprint) -> None:
    row = replace(next(iter(table)), median_us=7.0)
    extra = replace(row, key=replace(row.key, batch_size=64))
    merged = LatencyTable(fingerprint=replace(fingerprint, date="2027-01-01"), rows=table)
    merged.merge(LatencyTable(fingerprint=fingerprint, rows=[row, extra]))
    assert len(merged) == len(table) + 1
    assert merged.get(row.key).median_us == 7.0


def test_tables_of_two_devices_are_not_merged(table, fingerprint) -> None:
    other = LatencyTable(fingerprint=replace(fingerprint, device_name="Model 1", torch="2.8.0"))
    with pytest.raises(DeviceMismatchError, match=r"device_name .* torch .* Keep them as two tables"):
        table.merge(other)


def test_a_missing_file_names_the_command_that_makes_one(tmp_path) -> None:
    with pytest.raises(TableFileError, match="nas latency profile"):
        LatencyTable.load(tmp_path / "none.parquet")


def test_a_truncated_file_is_called_truncated(table, tmp_path) -> None:
    path = tmp_path / "t.parquet"
    table.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TableFileError, match=r"truncated: its end is missing .* profile again"):
        LatencyTable.load(path)


def test_a_damaged_file_is_called_damaged(table, tmp_path) -> None:
    path = tmp_path / "t.parquet"
    table.save(path)
    content = bytearray(path.read_bytes())
    content[-200:-8] = bytes(192)
    path.write_bytes(bytes(content))
    with pytest.raises(TableFileError, match="damaged"):
        LatencyTable.load(path)


def test_a_text_file_is_no_table(tmp_path) -> None:
    path = tmp_path / "t.parquet"
    path.write_text("part,median_us\n")
    with pytest.raises(TableFileError, match="is not a latency table"):
        LatencyTable.load(path)


def test_any_other_parquet_file_is_no_table(tmp_path) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(TableFileError, match="no device fingerprint"):
        LatencyTable.load(path)


def test_a_table_of_another_schema_version_names_both(table, tmp_path, monkeypatch) -> None:
    path = tmp_path / "t.parquet"
    monkeypatch.setattr(LatencyTable, "SCHEMA_VERSION", 7)
    table.save(path)
    monkeypatch.undo()
    with pytest.raises(TableFileError, match="schema version 7; this version of hybridnas reads 3"):
        LatencyTable.load(path)


def test_the_number_of_meta_tokens_tells_rows_apart_and_survives_a_file(table, tmp_path) -> None:
    path = tmp_path / "t.parquet"
    row = next(iter(table))
    behind = replace(row, key=replace(row.key, num_meta_tokens=16), median_us=77.0)
    table.add(behind)
    table.save(path)
    loaded = LatencyTable.load(path)
    assert loaded.get(row.key) == row
    assert loaded.get(behind.key) == behind


def test_rows_are_plain_python_values_after_loading(table, tmp_path) -> None:
    path = tmp_path / "t.parquet"
    table.save(path)
    row = next(iter(LatencyTable.load(path)))
    assert isinstance(row, LatencyRow)
    assert type(row.median_us) is float
    assert type(row.key.batch_size) is int
    assert type(row.key.operator) is str
