"""A run directory of many language models whose results are made up, as a long search leaves it."""

from pathlib import Path
from typing import Any, Final

import numpy as np

from nas.candidates import Candidate, Evaluated, Failed, Proposal
from nas.config import load_config
from nas.run_directory import RunDirectory
from nas.storage.open import journal_storage
from nas.study import Study

CONFIGURATION: Final = "flash-1b-decode"
_CURVE_POINTS: Final = 20
_FAILS_EVERY: Final = 50


def write_large_run(path: Path, *, num_trials: int, seed: int = 0) -> None:
    """Write configuration and journal of a search that evaluated `num_trials` candidates.

    Args:
        path: a new directory.
        num_trials: candidates, one in fifty of which failed.
        seed: of genomes and results.
    """
    config = load_config(CONFIGURATION).resolved()
    space: Any = config.load_space()
    directory = RunDirectory.create(path)
    directory.config.write_text(config.to_yaml(), encoding="utf-8")
    study: Study[Any] = Study(
        space=space, objectives=config.objectives, storage=journal_storage(directory.journal), name=config.study_name
    )
    rng = np.random.default_rng(seed)
    for number in range(num_trials):
        genome = space.sample(rng=rng)
        target = space.decode(genome)
        latency_ms = float(rng.uniform(5, 30))
        shape = target.to_dict()
        parts = (*sorted({spec.kind for spec in target.operators}), "fixed")
        by_operator = dict(zip(parts, (latency_ms * rng.dirichlet(np.ones(len(parts)))).tolist(), strict=True))
        # A population of a hundred: lineages of a few hundred generations.
        parent = max(0, number - int(rng.integers(1, 101))) if number else None
        study.add(
            Candidate(
                number=number,
                proposal=Proposal(genome=genome, origin="mutation", parent=parent, mutation="hidden_size: 1024 → 1280"),
                fingerprint=target.fingerprint(),
                seed=seed,
                cheap={"latency_ms": latency_ms, "num_parameters": 1e9 + number},
                description={"target": shape, "proxy": shape, "latency_by_operator": by_operator},
            )
        )
        if number % _FAILS_EVERY == _FAILS_EVERY - 1:
            study.finish(number, Failed("gpu_out_of_memory", "CUDA out of memory: tried to allocate 2.00 GiB"))
            continue
        curve = [[4096 * step, float(9 * rng.random()), float(9 * rng.random())] for step in range(_CURVE_POINTS)]
        details = {"curve": curve, "tokens_seen": 4_096_000, "bits_per_byte": 1.5, "seconds": 100.0}
        perplexity = 30 - latency_ms / 2 + float(rng.exponential(3))
        study.finish(number, Evaluated(objectives={"perplexity": perplexity}, details=details))
