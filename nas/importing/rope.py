"""Rotary embeddings as configurations say them, today's and older."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.errors import ModelImportError
from nas.importing.config import Config
from search_spaces.specs import RopeScaling


@dataclass(frozen=True, slots=True, kw_only=True)
class Rope:
    """The fields of an attention that rotates."""

    rope_theta: float
    rotary_fraction: float
    rope_scaling: RopeScaling | None


def read_rope(config: Config, *, theta: float = 10000.0, fraction: float = 1.0) -> Rope:
    """Return the rotation that a configuration asks for.

    Args:
        config: the configuration.
        theta: what the architecture takes where nothing is said.
        fraction: likewise, of each head that is rotated.

    Raises:
        ModelImportError: a kind of scaling other than Llama 3's.
    """
    parameters = config.value("rope_parameters") or config.value("rope_scaling") or {}
    if not isinstance(parameters, Mapping) or any(isinstance(value, Mapping) for value in parameters.values()):
        raise ModelImportError(
            f"{config.model_type}: only one rope_parameters for all layers can be imported; got {parameters!r}."
        )
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind not in ("default", "llama3", "mrope"):
        raise ModelImportError(
            f"{config.model_type}: only rope_type default or llama3 of rope_parameters can be imported; got {kind!r}. "
            "No operator here computes it."
        )
    return Rope(
        rope_theta=float(parameters.get("rope_theta") or config.number("rope_theta", theta)),
        rotary_fraction=float(
            parameters.get("partial_rotary_factor") or config.number("partial_rotary_factor", fraction)
        ),
        rope_scaling=_scaling(config, parameters) if kind == "llama3" else None,
    )


def _scaling(config: Config, parameters: Mapping[str, Any]) -> RopeScaling:
    try:
        return RopeScaling(
            factor=parameters["factor"],
            low_frequency_factor=parameters["low_freq_factor"],
            high_frequency_factor=parameters["high_freq_factor"],
            original_max_tokens=parameters["original_max_position_embeddings"],
        )
    except KeyError as error:
        raise ModelImportError(f"{config.model_type}: rope_parameters of llama3 must say {error}.") from error
