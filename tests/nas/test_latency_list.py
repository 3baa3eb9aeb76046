import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from latency.device import DeviceFingerprint
from latency.table import LatencyTable
from nas.cli.main import app


def test_tables_that_ship_are_listed_without_naming_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint = DeviceFingerprint(device_name="Model 9000", kind="cuda", memory_bytes=2**36, num_threads=1)
    LatencyTable(fingerprint=fingerprint).save(tmp_path / "latency" / "tables" / "model-9000-bfloat16.parquet")
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path / package)
    result = CliRunner().invoke(app, ["latency", "list", "--json"])
    assert result.exit_code == 0
    [listed] = json.loads(result.stdout)
    assert listed["device"] == "Model 9000"
    assert listed["validated"] == "never"


def test_tables_in_their_folder_are_part_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert "tables/*.parquet" in project["tool"]["setuptools"]["package-data"]["latency"]
