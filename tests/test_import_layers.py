"""Who may import whom, read from the imports themselves, those inside functions included."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ROOMS = {
    "search_spaces": set(),
    "operators": {"search_spaces"},
    "latency": {"search_spaces", "operators"},
    "proxies": {"search_spaces", "operators"},
    "dashboards": {"search_spaces"},
    "nas": {"search_spaces", "operators", "latency", "proxies", "dashboards"},
}

ONLY_IN = {
    "ray": {"nas"},
    "optuna": {"nas"},
    "pydantic": {"nas"},
    "psycopg": {"nas"},
    "sqlalchemy": {"nas"},
    "typer": {"nas"},
    "rich": {"nas"},
    "plotly": {"dashboards"},
    "dash": {"dashboards"},
    "torch": {"operators", "latency", "proxies", "nas"},
    "safetensors": {"nas"},
    "transformers": {"nas"},
    "tokenizers": {"proxies"},
    "datasets": {"proxies"},
    "lm_eval": {"nas"},
    "pandas": {"latency", "dashboards", "nas"},
}

TORCH_IN_NAS = ("nas/winners", "nas/export", "nas/importing")
"""Folders of the search that hold models: what comes after it."""

TORCH_FREE = (
    "search_spaces",
    "operators.cost",
    "latency.plan",
    "latency.predict",
    "latency.table",
    "latency.workload",
    "dashboards.frame",
    "nas.cli.main",
)


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.add((node.module or "").split(".")[0])
    return names


def files_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_below_it(room):
    allowed = ROOMS[room] | {room}
    for path in files_of(room):
        forbidden = imported(path) & (set(ROOMS) | {"benchmarks", "tests"}) - allowed
        assert not forbidden, f"{path.relative_to(ROOT)} imports {', '.join(forbidden)}"


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_known_only_to_its_rooms(library):
    for room in set(ROOMS) - ONLY_IN[library]:
        for path in files_of(room):
            assert library not in imported(path), f"{path.relative_to(ROOT)} imports {library}"


def test_of_the_search_only_what_holds_models_knows_torch():
    for path in files_of("nas"):
        name = path.relative_to(ROOT).as_posix()
        assert name.startswith(TORCH_IN_NAS) or not imported(path) & {"torch", "safetensors"}, f"{name} imports torch"


def test_only_studies_and_their_samplers_know_optuna():
    knowing = {path.relative_to(ROOT).as_posix() for path in files_of("nas") if "optuna" in imported(path)}
    assert knowing == {
        "nas/evolution/optuna_trials.py",
        "nas/storage/postgresql.py",
        "nas/run_import.py",
        "nas/storage/of_search.py",
        "nas/storage/open.py",
        "nas/storage/patience.py",
        "nas/study.py",
        "nas/study_export.py",
        "nas/storage/whole_lines.py",
    }


def test_only_storages_in_postgresql_know_its_driver():
    knowing = {
        path.relative_to(ROOT).as_posix() for path in files_of("nas") if {"psycopg", "sqlalchemy"} & imported(path)
    }
    assert knowing == {
        "nas/storage/postgresql.py",
        "nas/storage/postgresql_reading.py",
        "nas/storage/open.py",
        "nas/storage/lock.py",
    }


def test_only_the_executors_and_launchers_on_ray_and_the_submission_of_jobs_know_ray():
    knowing = {path.relative_to(ROOT).as_posix() for path in files_of("nas") if "ray" in imported(path)}
    executors = {f"nas/executors/ray_{name}.py" for name in ("capacity", "cluster", "connection", "device")}
    launchers = {"nas/winners/launching/ray_train.py", "nas/winners/launching/watch.py"}
    assert knowing == executors | launchers | {"nas/cli/submit_command.py"}


def loaded_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(result.stdout.split())


@pytest.mark.parametrize("module", TORCH_FREE)
def test_what_needs_no_torch_does_not_load_it(module):
    assert not loaded_by(module) & {"torch", "ray", "optuna", "transformers"}


@pytest.mark.parametrize(
    "module", ["operators.model", "latency.measure", "proxies.short_training", "nas.latency_source", "nas.doctor"]
)
def test_a_bare_gpu_machine_can_import_the_rooms_below_the_search(module):
    assert not loaded_by(module) & {"pydantic", "ray", "optuna", "dash", "plotly"}


def test_a_reader_of_a_run_loads_nothing_heavy():
    heavy = {"torch", "ray", "optuna", "pandas", "plotly", "dash", "transformers", "pyarrow"}
    assert not loaded_by("nas.run") & heavy


def test_the_command_line_starts_without_heavy_packages():
    heavy = {"torch", "ray", "optuna", "pandas", "pydantic", "plotly", "dash", "transformers"}
    assert not loaded_by("nas.cli.main") & heavy


def test_no_module_is_longer_than_600_lines():
    for room in ROOMS:
        for path in files_of(room):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 600, path
