"""What checking a table against whole models found: stored with the table, and the source of its intervals.

Made by `validate.py`; nothing is measured here and no torch is needed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from latency.accuracy import Accuracy, accuracy
from latency.workload import Workload
from search_spaces.strict import from_mapping

METADATA_KEY: Final = "validations"
INTERVAL_COVERAGE: Final = 0.9
"""Share of the validated models whose measured latency lies within the interval around their prediction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatedModel:
    """One model that was predicted and timed whole."""

    name: str
    """Name of a reference, or the pattern."""

    hidden_size: int
    num_parameters: int
    predicted_ms: float
    measured_ms: float

    @property
    def error(self) -> float:
        """(predicted − measured) / measured."""
        return self.predicted_ms / self.measured_ms - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """One check of a table, under one workload."""

    date: str
    """ISO 8601, UTC."""

    workload: Workload
    models: tuple[ValidatedModel, ...]

    @property
    def accuracy(self) -> Accuracy:
        """Errors and orders over all models."""
        return accuracy(
            predicted_ms=[model.predicted_ms for model in self.models],
            measured_ms=[model.measured_ms for model in self.models],
        )

    @property
    def worst(self) -> tuple[ValidatedModel, ...]:
        """The models, the worst predicted first."""
        return tuple(sorted(self.models, key=lambda model: -abs(model.error)))

    def interval_ms(self, predicted_ms: float) -> tuple[float, float]:
        """Return what a prediction's real value lies between, by the residuals of the models validated."""
        low, high = _error_quantiles(self.models)
        return predicted_ms / (1 + high), predicted_ms / (1 + low)

    def describe(self) -> str:
        """Return short words: how good, over how many models, of which workload, when."""
        how_good = f"MAPE {self.accuracy.mape:.1f} % over {len(self.models)} models"
        return f"{how_good}, {self.workload.describe()} ({self.date[:10]})"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping that `from_dict` reads back unchanged."""
        return {
            "date": self.date,
            "workload": self.workload.to_dict(),
            "models": [asdict(model) for model in self.models],
        }

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "Validation":
        """Read what `to_dict` wrote.

        Raises:
            SpecError: an unknown or missing key.
        """
        models = tuple(from_mapping(ValidatedModel, model, where="validated model") for model in mapping["models"])
        workload = Workload.from_dict(mapping["workload"])
        return from_mapping(cls, {**mapping, "workload": workload, "models": models}, where="validation")


@lru_cache(maxsize=64)
def _error_quantiles(models: tuple[ValidatedModel, ...]) -> tuple[float, float]:
    # A search predicts thousands of candidates with one table.
    outside = (1 - INTERVAL_COVERAGE) / 2
    low, high = np.quantile([model.error for model in models], (outside, 1 - outside))
    return float(low), float(high)


def validations_of(metadata: Mapping[str, Any]) -> tuple[Validation, ...]:
    """Return the validations stored in a table's metadata, the newest last."""
    return tuple(Validation.from_dict(entry) for entry in metadata.get(METADATA_KEY, ()))


def validation_for(metadata: Mapping[str, Any], workload: Workload) -> Validation | None:
    """Return the newest validation that speaks for a workload.

    It is of the workload's phase, dtype and batch, and was made at contexts that the workload meets: what was found at
    short contexts says nothing about long prompts.
    """

    def traits(some: Workload) -> tuple[object, ...]:
        return some.phase, some.dtype, some.batch_size

    def meets(some: Workload) -> bool:
        return some.prompt_tokens <= workload.max_tokens and workload.prompt_tokens <= some.max_tokens

    alike = [
        found
        for found in validations_of(metadata)
        if traits(found.workload) == traits(workload) and meets(found.workload)
    ]
    return alike[-1] if alike else None


def with_validation(metadata: Mapping[str, Any], validation: Validation) -> dict[str, Any]:
    """Return the metadata with one more validation; it takes the place of an earlier one of the same workload."""
    kept = [found for found in validations_of(metadata) if found.workload != validation.workload]
    return {**metadata, METADATA_KEY: [found.to_dict() for found in (*kept, validation)]}
