"""The families that a change to training is tried on, in the sizes that a CPU and a GPU train.

Attention, DeltaNet, Mamba2 and a hybrid. Pure Mamba2 has no FFN, the others have one behind each mixer [NF 2.2].
"""

from typing import Final

from benchmarks.document import DeviceName
from benchmarks.paired_training import Arm, Plan
from operators.cost import num_parameters
from proxies.data import load_corpus
from proxies.settings import TrainingSettings
from search_spaces.architecture import Architecture
from search_spaces.dimensions import Dimensions, architecture_from_pattern
from search_spaces.errors import UnavailableError

SMALL: Final = {
    "attention": "a f a f a f",
    "DeltaNet": "d f d f d f",
    "Mamba2": "m2 m2 m2 m2",
    "hybrid": "d f m2 f a f",
}
LARGE: Final = {
    "hybrid": "d f m2 f a f m2 f d f m2 f a f m2 f",
    "attention": "a f a f a f a f a f a f a f a f",
    "DeltaNet": "d f d f d f d f d f d f d f d f",
    "Mamba2": "m2 m2 m2 m2 m2 m2 m2 m2 m2 m2 m2 m2 m2 m2 m2 m2",
}
LEAST_LARGE: Final = 100_000_000
"""Parameters of the models that a GPU trains."""


def plan_for(arms: tuple[Arm, Arm], *, device: DeviceName, full: bool, corpus: str | None) -> Plan:
    """Return what is compared on a device; `full` trains longer, with more seeds, and on a GPU all families.

    Raises:
        UnavailableError: a GPU's models need a real text, and none is given.
    """
    if device == "cpu":
        settings = TrainingSettings(
            steps=4000 if full else 800, validation_every=50, validation_sequences=32, device="cpu"
        )
        return Plan(
            arms=arms,
            families={name: _small(pattern) for name, pattern in SMALL.items()},
            settings=settings,
            rates=(5e-3, 1e-2, 2e-2),
            num_seeds=8 if full else 5,
            corpus=corpus or "stdlib",
        )
    if corpus is None:
        raise UnavailableError(
            "Models of 100M parameters need more text than ships with Python; none was given. Prepare some with "
            "nas data prepare, and name its folder: --corpus tokens:FOLDER."
        )
    vocab_size = load_corpus(corpus, sequence_tokens=2048).tokenizer.vocab_size
    families = {name: _large(pattern, vocab_size) for name, pattern in LARGE.items() if full or name == "hybrid"}
    return Plan(
        arms=arms,
        families=families,
        settings=TrainingSettings(
            steps=20_000 if full else 3000,
            batch_size=16,
            sequence_tokens=2048,
            validation_every=250,
            validation_sequences=128,
            dtype="bfloat16",
            device="cuda",
        ),
        rates=(5e-4, 1e-3, 2e-3),
        num_seeds=3,
        corpus=corpus,
    )


def _small(pattern: str) -> Architecture:
    return architecture_from_pattern(
        pattern, hidden_size=64, vocab_size=257, dimensions=Dimensions(mamba_state_size=64)
    )


def _large(pattern: str, vocab_size: int) -> Architecture:
    """Return the narrowest of a family's models that has enough parameters."""
    for width in range(768, 2049, 128):
        architecture = architecture_from_pattern(pattern, hidden_size=width, vocab_size=vocab_size)
        if num_parameters(architecture) >= LEAST_LARGE:
            return architecture
    raise AssertionError(f"no width gives {pattern} so many parameters")
