"""Trainings small enough for a test: a model of width 64 on a text of a few thousand bytes."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.winners.parallel.alone import Alone
from nas.winners.progress import Silent
from nas.winners.recipe import Recipe, read_recipe
from nas.winners.start import opened
from nas.winners.training import TrainingEnd, TrainingRequest, run_training
from search_spaces import Architecture, architecture_from_pattern

_RECIPE = """
name: small
data: {source}
batch_size: 2
learning_rate: 3e-3
log_every: 1
stages:
  - {{tokens: 1280, sequence_tokens: 32}}
validation: {{sequences: 4}}
checkpoints: {{every_minutes: null, every_steps: 5}}
"""

_TIMES = ("seconds", "tokens_per_s")


class Notices(Silent):
    """Remembers what was said, and does something at a step."""

    def __init__(self, at_step: Mapping[int, Callable[[], None]] | None = None) -> None:
        self.said: list[str] = []
        self._at_step = dict(at_step or {})

    def notice(self, words: str) -> None:
        self.said.append(words)

    def progressed(self, event: Mapping[str, Any]) -> None:
        if event["step"] in self._at_step and "loss" in event:
            self._at_step[event["step"]]()


class Small:
    """Trains in this process and reads what it left."""

    def __init__(self, folder: Path, sources: Mapping[str, str]) -> None:
        self.folder = folder
        self.sources = sources
        self.architecture: Architecture = architecture_from_pattern("d f m2 a", hidden_size=64, vocab_size=257)

    def recipe(self, *overrides: str) -> Recipe:
        return read_recipe(_RECIPE.format(source=self.sources["first"]), where="test", overrides=overrides)

    def train(
        self,
        name: str,
        *overrides: str,
        stop_after: int | None = None,
        resume: bool = False,
        notices: Notices | None = None,
        architecture: Architecture | None = None,
    ) -> TrainingEnd:
        """Train into the folder `name`; be interrupted after a number of steps of this session."""
        request = TrainingRequest(
            architecture=architecture or self.architecture,
            recipe=self.recipe(*overrides).resolved(),
            output=self.folder / name,
            resume=resume,
        )
        asked = iter(range(1, 10_000))
        with opened(request):
            return run_training(
                request,
                parallel=Alone(torch.device("cpu")),
                observer=notices,
                is_interrupted=lambda: next(asked) == stop_after,
            )

    def log(self, name: str) -> list[dict[str, Any]]:
        """Return the log without what depends on the clock."""
        lines = (self.folder / name / "log.jsonl").read_text().splitlines()
        return [{key: value for key, value in json.loads(line).items() if key not in _TIMES} for line in lines]

    def checkpoints(self, name: str) -> list[str]:
        return sorted(path.name for path in (self.folder / name / "checkpoints").iterdir())


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two texts with something to learn."""
    folder = tmp_path_factory.mktemp("texts")
    texts = {
        "first": "".join(f"{number} and {number} make {2 * number}. " for number in range(400)),
        "second": "the quick brown fox jumps over the lazy dog, " * 150,
    }
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return {name: f"file:{folder / name}.txt" for name in texts}


@pytest.fixture
def small(tmp_path: Path, sources: dict[str, str]) -> Small:
    return Small(tmp_path, sources)


@pytest.fixture(scope="session")
def make_small() -> type[Small]:
    return Small


@pytest.fixture
def notices() -> Callable[..., Notices]:
    return Notices


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
