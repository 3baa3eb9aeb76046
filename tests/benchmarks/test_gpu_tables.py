import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu_tables import BATCH_SIZES, SPACES, TOKENS, Contents, fitting, main, rows_of, table_name
from latency.predict import predict
from latency.table import LatencyTable
from search_spaces.presets import load_preset
from search_spaces.references import load_reference, reference_names

ROOT = Path(__file__).parents[2]
TINY = [
    *("--device", "cpu", "--spaces", "quick-cpu", "--references", "--tokens", "8"),
    *("--batch-sizes", "1", "--dtype", "float32", "--samples", "2"),
]
H100_BYTES = 79 * 2**30

BLOCKED = ("pydantic", "ray", "optuna", "dash", "plotly", "typer", "rich", "psutil")

# One width of the space, so that its rows are measured in a second.
WITHOUT = f"""
import sys

class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refusal())

from dataclasses import replace
from search_spaces import presets

narrow = replace(presets.load_preset("quick-cpu"), hidden_sizes=(32,))
presets.load_preset = lambda name: narrow
from benchmarks.gpu_tables import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def shipped() -> Contents:
    return Contents(
        spaces=SPACES,
        references=reference_names(),
        tokens=TOKENS,
        batch_sizes=BATCH_SIZES,
        dtype="bfloat16",
        samples=40,
    )


def test_a_bare_gpu_machine_makes_and_checks_a_table(tmp_path: Path) -> None:
    keep = ["--keep", str(tmp_path / "keep"), "--to", str(tmp_path / "tables")]
    command = [sys.executable, "-c", WITHOUT, *TINY, *keep]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert finished.returncode == 0, finished.stderr
    [path] = (tmp_path / "tables").iterdir()
    table = LatencyTable.load(path)
    workload = Contents(
        spaces=("quick-cpu",), references=(), tokens=(8,), batch_sizes=(1,), dtype="float32", samples=2
    ).workloads(1)[0]
    space = replace(load_preset("quick-cpu"), hidden_sizes=(32,))
    assert predict(space.decode(space.sample(rng=np.random.default_rng(5))), workload, table).milliseconds > 0
    found = table.validation(workload)
    assert found is not None
    assert len(found.models) == 2
    assert path.name == table_name(table.fingerprint.device_name, "float32")


def test_a_shipped_table_prices_every_space_and_reference_that_fits(shipped: Contents) -> None:
    keys = {row.key for row in rows_of(shipped, device="cuda", memory_bytes=H100_BYTES)}
    assert {key.batch_size for key in keys} == set(BATCH_SIZES)
    assert max(key.context_tokens for key in keys) == 32768 + 256
    assert {key.dtype for key in keys} == {"bfloat16"}
    widths = {key.hidden_size for key in keys}
    assert widths >= {1024, 1280, 1536, 1792, 2048, 2304, 2560}
    assert load_reference("nemotron-nano-12b-v2").hidden_size in widths
    assert load_reference("nemotron-4-340b").hidden_size not in widths


def test_a_reference_that_does_not_fit_at_a_batch_is_left_out_there(shipped: Contents) -> None:
    names = [
        {
            model.name
            for model in fitting(shipped, shipped.workloads(batch_size)[-1], device="cuda", memory_bytes=H100_BYTES)
        }
        for batch_size in (1, 64)
    ]
    assert names[1] < names[0]
    assert "smollm2-1.7b" in names[0] - names[1]


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_what_checks_a_batch_stays_within_its_contexts(shipped: Contents, batch_size: int) -> None:
    workload = shipped.checked_workload(batch_size)
    assert workload.max_tokens <= min(TOKENS)
    assert workload.batch_size == batch_size


def test_no_time_says_how_much_there_is_asks_for_another_run_and_puts_no_table_in_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep = ["--keep", str(tmp_path / "keep"), "--to", str(tmp_path / "tables")]
    assert main([*TINY, *keep, "--minutes", "0"]) == 75
    captured = capsys.readouterr()
    assert "60 rows, 60 to measure" in captured.out
    assert "run again" in captured.err
    assert not (tmp_path / "tables").exists()


def test_a_missing_gpu_is_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "cuda:99", "--keep", str(tmp_path), "--to", str(tmp_path)]) == 4
    assert "cuda" in capsys.readouterr().err
