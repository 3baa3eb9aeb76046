"""Which models a latency table is checked with: random ones of a space, and architectures by name."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from latency.validate import NamedArchitecture
from nas.architectures import load_architecture
from nas.errors import UsageError
from search_spaces import ArchitectureSpace
from search_spaces.presets import load_preset

_MOST_DRAWS_A_SAMPLE = 100


def models_to_validate(
    *,
    space: str | None,
    samples: int,
    names: Sequence[str],
    seed: int,
    hidden_size: int | None = None,
    vocab_size: int | None = None,
) -> list[NamedArchitecture]:
    """Return `samples` distinct architectures of a space preset, the same ones for a seed, and those named.

    Raises:
        UsageError: fewer than two models in all; an error and an order need two.
    """
    models = [
        NamedArchitecture(
            name=name, architecture=load_architecture(name, hidden_size=hidden_size, vocab_size=vocab_size)
        )
        for name in names
    ]
    if space is not None:
        models += random_models(load_preset(space), samples=samples, seed=seed)
    if len(models) < 2:
        raise UsageError(
            f"A table is checked with at least two models; got {len(models)}. "
            "Name a space with --space, or architectures with --arch (more than once)."
        )
    return models


def random_models(space: ArchitectureSpace[Any], *, samples: int, seed: int) -> list[NamedArchitecture]:
    """Return `samples` distinct architectures of a space, the same ones for a seed; a small space gives what it has."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, NamedArchitecture] = {}
    for _ in range(_MOST_DRAWS_A_SAMPLE * samples):
        if len(drawn) == samples:
            break
        architecture = space.decode(space.sample(rng=rng))
        drawn.setdefault(
            architecture.fingerprint(), NamedArchitecture(name=architecture.pattern, architecture=architecture)
        )
    return list(drawn.values())
