"""Published figures of known models, to stand beside one's own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import yaml

PUBLISHED_FILE: Final = "published.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What one source says of one model."""

    model: str
    """A reference architecture, or words."""

    source: str
    scores: Mapping[str, float]
    """Percent, by task or set."""


def published() -> list[Published]:
    """Return every figure there is."""
    text = files("nas.winners.evaluation").joinpath(PUBLISHED_FILE).read_text(encoding="utf-8")
    return [
        Published(model=entry["model"], source=entry["source"], scores=entry["scores"])
        for entry in yaml.safe_load(text)
    ]


def published_beside(names: Iterable[str]) -> list[Published]:
    """Return those that say something of these tasks or sets, with what they say of them only."""
    wanted = set(names)
    beside = (
        Published(
            model=one.model,
            source=one.source,
            scores={name: value for name, value in one.scores.items() if name in wanted},
        )
        for one in published()
    )
    return [one for one in beside if one.scores]
