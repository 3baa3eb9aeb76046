"""Made-up results in the shape of a real study. For tests only; nothing of this ships."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dashboards.frame import (
    COLUMNS,
    Activity,
    Comparison,
    Fidelity,
    LongerTrained,
    MemoryAt,
    PredictedAndMeasured,
    Priced,
    Reference,
    Results,
    ScoreAgreement,
    TrainingRun,
    ValidationPicture,
    empty_frame,
)
from search_spaces import Architecture, architecture_from_pattern

NUM_TRIALS = 40
MICROSECONDS = {"a": 46.0, "w": 39.0, "d": 34.0, "m2": 30.0, "f": 21.0}
NAMES = {"a": "attention", "w": "sliding_window_attention", "d": "deltanet", "m2": "mamba2", "f": "ffn"}
BLOCKS = ("d f m2 f", "a f m2 f", "m2 f", "d f", "a f", "w f m2 m2 f", "d m2 f", "m2 m2 m2 f f", "w f d f")


def random_architecture(rng: np.random.Generator) -> Architecture:
    stages = [f"({rng.choice(BLOCKS)})x{rng.integers(1, 4)}" for _ in range(rng.integers(2, 4))]
    width = int(rng.choice([768, 1024, 1280, 1536, 1792, 2048]))
    return architecture_from_pattern(" ".join(stages), hidden_size=width, vocab_size=131072, num_meta_tokens=256)


def rough_parameters(architecture: Architecture) -> int:
    per_letter = {"a": 2.5, "w": 2.5, "d": 4.0, "m2": 6.2, "f": 9.0}
    width = architecture.hidden_size
    return round(sum(per_letter[letter] for letter in architecture.letters) * width**2 + 131072 * width)


def latency_parts(architecture: Architecture) -> dict[str, float]:
    scale = (architecture.hidden_size / 1024) ** 1.3 / 1000
    parts: dict[str, float] = {}
    for letter in architecture.letters:
        parts[NAMES[letter]] = parts.get(NAMES[letter], 0.0) + MICROSECONDS[letter] * scale
    return parts | {"fixed": 0.11 * scale * 1000}


def blank(number: int) -> dict[str, Any]:
    return {column.name: None for column in COLUMNS} | {"number": number, "perplexity": None, "latency_ms": None}


def model_trial(number: int, *, rng: np.random.Generator) -> dict[str, Any]:
    architecture = random_architecture(rng)
    is_start = number < 16
    origin = (
        ("seed" if number < 2 else "random") if is_start else str(rng.choice(["mutation", "mutation", "crossover"]))
    )
    parts = latency_parts(architecture)
    num_parameters = rough_parameters(architecture)
    mixers = {letter for letter in architecture.letters if letter != "f"}
    loss = (
        3.02 + 0.9 * (num_parameters / 1e8) ** -0.45 + (0.0 if is_start else -0.035) - 0.02 * len(mixers)
        + float(rng.normal(0, 0.02))
    )  # fmt: skip
    tokens = np.linspace(0, 4_000_000, 21)[1:]
    curve = [
        [int(seen), round(loss + 1.6 * float(np.exp(-seen / 9e5)) + float(rng.normal(0, 0.02)), 4),
         round(loss + 1.55 * float(np.exp(-seen / 9e5)), 4) if index % 2 else None]
        for index, seen in enumerate(tokens)
    ]  # fmt: skip
    started = pd.Timestamp("2026-11-20T09:00:00Z") + pd.Timedelta(minutes=3.1 * number)
    return blank(number) | {
        "status": "finished",
        "origin": origin,
        "parent": None if is_start else int(rng.integers(0, number)),
        "mutation": None if origin != "mutation" else "block counts over the stages: 2, 3, 1 → 3, 2, 1",
        "fingerprint": architecture.fingerprint(),
        "genome": json.dumps({"stages": architecture.pattern}),
        "architecture": json.dumps(architecture.to_dict()),
        "pattern": architecture.pattern,
        "hidden_size": architecture.hidden_size,
        "depth": architecture.depth,
        "num_parameters": num_parameters,
        "perplexity": float(np.exp(loss)),
        "latency_ms": sum(parts.values()),
        "bits_per_byte": loss / np.log(2) / 3.9,
        "validation_loss": loss,
        "latency_by_operator": json.dumps(parts),
        "curve": json.dumps(curve),
        "tokens_seen": 4_000_000,
        "train_seconds": float(rng.uniform(140, 260)),
        "started_at": started,
        "finished_at": started + pd.Timedelta(minutes=4),
        "finish_index": number,
    }


def without_result(trial: dict[str, Any], **changes: Any) -> dict[str, Any]:
    gone = dict.fromkeys(("perplexity", "bits_per_byte", "validation_loss", "curve", "tokens_seen"))
    return trial | gone | changes


def as_frame(trials: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the frame with dtypes of the contract, its frontier and its hypervolume."""
    frame = pd.DataFrame(trials, columns=list(empty_frame().columns))
    frame["is_frontier"] = False
    dtypes = empty_frame().dtypes.to_dict()
    frame = frame.astype({name: dtype for name, dtype in dtypes.items() if name not in ("started_at", "finished_at")})
    for name in ("started_at", "finished_at"):
        frame[name] = pd.to_datetime(frame[name], utc=True).astype(dtypes[name])
    done = frame[(frame["status"] == "finished") & (frame["origin"] != "repeat")]
    points = done[["latency_ms", "perplexity"]].to_numpy(dtype=float)
    for index, point in zip(done.index, points, strict=True):
        others = points[np.any(points != point, axis=1)]
        frame.loc[index, "is_frontier"] = not np.any(np.all(others <= point, axis=1))
    for index in frame.index[frame["finish_index"].notna() & (frame["origin"] != "repeat")]:
        known = points[done["finish_index"].to_numpy(dtype=float) <= frame.loc[index, "finish_index"]]
        frame.loc[index, "hypervolume"] = area(known, reference=(8.0, 45.0))
    return frame


def area(points: np.ndarray, *, reference: tuple[float, float]) -> float:
    total, best = 0.0, reference[1]
    for across, up in sorted(map(tuple, points)):
        if across < reference[0] and up < best:
            total += (reference[0] - across) * (best - up)
            best = up
    return total


def realistic_trials() -> list[dict[str, Any]]:
    rng = np.random.default_rng(7)
    trials = [model_trial(number, rng=rng) for number in range(NUM_TRIALS)]
    message = "loss became nan at step 212; the last finite loss was 9.41"
    trials[5] = without_result(trials[5], status="failed", failure_kind="diverged", failure_message=message)
    trials[21] = without_result(
        trials[21],
        status="failed",
        failure_kind="gpu_out_of_memory",
        failure_message="CUDA out of memory: <script>alert('x')</script> tried to allocate 2.00 GiB",
    )
    trials[28] = without_result(
        trials[28],
        status="failed",
        failure_kind="bug",
        failure_message="ValueError: no kernel for this head width",
        latency_ms=None,
        latency_by_operator=None,
    )
    for number, latency_ms in ((9, 2.46), (24, 2.61), (31, 2.38)):
        trials[number] = without_result(
            trials[number], status="infeasible", finish_index=None, finished_at=None, latency_ms=latency_ms
        )
    for number in (38, 39):
        trials[number] = without_result(trials[number], status="running", finish_index=None, finished_at=None)
    for number, original in ((36, 17), (37, 20)):
        again = trials[original] | {"number": number, "origin": "repeat", "repeat_of": original, "finish_index": number}
        trials[number] = again | {"perplexity": trials[original]["perplexity"] * 1.01}
    return trials


def results_of(trials: pd.DataFrame, **changes: Any) -> Results:
    content: dict[str, Any] = {
        "title": "Decode latency on one H100, 1B class",
        "trials": trials,
        "planned_evaluations": 48,
        "state": "running",
        "provenance": {
            "device": "NVIDIA H100 80GB HBM3",
            "workload": "decode, batch 1, 1,024 prompt and 8,192 generated tokens, bfloat16",
            "latency table": "2026-11-19, 1,240 rows, validated: median error 3.1 % on 12 whole models",
            "proxy": "short training, 4 M tokens, proxy width 256, AdamW, lr 5e-4",
            "corpus": "sha256 5f1c0a9e2b77, 212 MB",
            "strategy": "aging evolution, population 16, subset 4",
            "seed": "17",
            "versions": "hybridnas 0.1.0, torch 2.13.0, ray 2.60.0, optuna 5.0.0",
        },
        "comparison": Comparison(
            random_hypervolume=101.2,
            evolved_hypervolume=108.9,
            difference=7.7,
            noise=1.9,
            num_each=15,
            sentence="Evolution covered 7.6 % more than random search, about four times the seed noise.",
        ),
        "limits": {"latency_ms": 2.3},
    }
    return Results(**(content | changes))


@pytest.fixture(scope="session")
def results() -> Results:
    return results_of(as_frame(realistic_trials()))


@pytest.fixture(scope="session")
def empty_results() -> Results:
    return results_of(empty_frame(), comparison=None, limits={})


@pytest.fixture(scope="session")
def failed_results() -> Results:
    trials = [trial for trial in realistic_trials() if trial["status"] == "failed"]
    return results_of(as_frame(trials), comparison=None)


@pytest.fixture(scope="session")
def foreign_results() -> Results:
    """A study that is not about language models."""
    nothing = dict.fromkeys(
        ("architecture", "pattern", "hidden_size", "depth", "num_parameters", "latency_by_operator", "curve",
         "bits_per_byte", "validation_loss", "tokens_seen", "train_seconds")
    )  # fmt: skip
    return results_of(as_frame([trial | nothing for trial in realistic_trials()]), provenance={}, comparison=None)


@pytest.fixture(scope="session")
def fidelity() -> Fidelity:
    """Twelve candidates of which the large ones gain most by longer training."""
    rng = np.random.default_rng(3)
    sizes = np.geomspace(2e6, 3e7, 12)
    shorts = 24 * (sizes / 2e6) ** -0.1 * np.exp(rng.normal(0, 0.08, 12))
    longs = shorts * 0.6 * (sizes / 2e6) ** -0.12
    candidates = tuple(
        LongerTrained(
            number=number,
            perplexity=float(short),
            long_perplexity=float(long),
            low=float(long) * 0.99,
            high=float(long) * 1.01,
            num_parameters=int(size),
            is_frontier=number % 3 == 0,
        )
        for number, (size, short, long) in enumerate(zip(sizes, shorts, longs, strict=True))
    )
    scores = (
        ScoreAgreement(name="perplexity in the search", spearman=0.71, low=0.4, high=0.88, is_ranked_by=True),
        ScoreAgreement(name="projected perplexity", spearman=0.93, low=0.78, high=0.99, is_ranked_by=False),
        ScoreAgreement(name="depth", spearman=-0.2, low=-0.6, high=0.3, is_ranked_by=False),
    )
    return Fidelity(times=10.0, candidates=candidates, scores=scores, findings=("Short training ranks <well>.",))


@pytest.fixture(scope="session")
def rich_results(fidelity: Fidelity) -> Results:
    """A study with everything that a page can show."""
    frame = as_frame(realistic_trials())
    frame["num_evaluations"] = frame["num_evaluations"].where(~frame["is_frontier"], 3)
    frame["deviation"] = frame["deviation"].where(~frame["is_frontier"], 0.4)
    steps = np.arange(1, 101)
    events = pd.DataFrame(
        {
            "step": steps,
            "tokens": 512 * steps,
            "loss": 3.0 + 3.0 / steps,
            "learning_rate": 1e-3 * steps / 100,
            "gradient_norm": 0.5,
            "weight_norm": 10.0,
            "tokens_per_s": 9000.0,
            "seconds": 512 * steps / 9000,
            "perplexity": np.where(steps % 20 == 0, np.exp(3.1 + 3.0 / steps), np.nan),
        }
    )
    models = tuple(
        PredictedAndMeasured(name=f"model {size}", hidden_size=size, predicted_ms=size / 900, measured_ms=size / 930)
        for size in (768, 1024, 1536, 2048)
    )
    return results_of(
        frame,
        knee=int(frame.loc[frame["is_frontier"], "number"].iloc[0]),
        references=(
            Reference(name="Nemotron-Flash-1B", figures={"latency_ms": 1.9, "num_parameters": 1e9}, pattern="d f m2 f"),
            Reference(name="Qwen3-0.6B", figures={"latency_ms": 2.4, "num_parameters": 6e8}, pattern="(a f)x28"),
        ),
        price=price,
        spec_text=lambda architecture: f"# {architecture.pattern}\nhidden_size: {architecture.hidden_size}\n",
        directory="runs/h100",
        activity=Activity(
            at=datetime.now(UTC), num_running=2, num_places=4, num_cpus=2.0, num_gpus=1.0, nodes=("gpu-1", "gpu-2")
        ),
        validation=ValidationPicture(
            title="Predicted against measured",
            device="NVIDIA H100 80GB HBM3",
            workload="decode, batch 1",
            findings=("The median error is 3.1 %.",),
            models=models,
        ),
        fidelity=fidelity,
        trainings=(
            TrainingRun(
                name="winner",
                events=events,
                state="finished",
                model="d f m2 f",
                num_parameters=1_000_000,
                planned_tokens=51_200,
                device="NVIDIA H100 80GB HBM3",
            ),
        ),
    )


def price(architecture: Architecture) -> Priced:
    """Price an architecture at six tenths of its latency and with caches that grow."""
    weights = 2 * rough_parameters(architecture)
    num_attention = sum(letter == "a" for letter in architecture.letters)
    return Priced(
        floor_ms_by_operator={name: 0.6 * part for name, part in latency_parts(architecture).items()},
        memory=tuple(
            MemoryAt(
                context_tokens=tokens,
                weight_bytes=weights,
                state_bytes=20_000_000 + 4 * num_attention * architecture.hidden_size * tokens,
            )
            for tokens in (1024, 4096, 16384, 65536, 131072)
        ),
    )
