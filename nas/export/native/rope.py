"""Rotary embeddings as configurations say them, in the words of today's transformers and of older engines."""

from typing import Any

from nas.export.native.max_tokens import MAX_TOKENS
from search_spaces.specs import AttentionSpec


def rope_config(spec: AttentionSpec) -> dict[str, Any]:
    """Return the fields of an attention that rotates."""
    assert spec.rope_theta is not None
    scaling: dict[str, Any] = {"rope_type": "default"}
    if spec.rope_scaling is not None:
        scaling = {
            "rope_type": "llama3",
            "factor": spec.rope_scaling.factor,
            "low_freq_factor": spec.rope_scaling.low_frequency_factor,
            "high_freq_factor": spec.rope_scaling.high_frequency_factor,
            "original_max_position_embeddings": spec.rope_scaling.original_max_tokens,
        }
    parameters = {**scaling, "rope_theta": spec.rope_theta}
    fields: dict[str, Any] = {
        "rope_theta": spec.rope_theta,
        "rope_scaling": None if spec.rope_scaling is None else parameters,
        "rope_parameters": parameters,
        "max_position_embeddings": max_tokens(spec),
    }
    if spec.rotary_fraction != 1:
        parameters["partial_rotary_factor"] = fields["partial_rotary_factor"] = spec.rotary_fraction
    return fields


def max_tokens(spec: AttentionSpec) -> int:
    """Return how many tokens a configuration allows for: as far as scaled frequencies reach, if that is more."""
    if spec.rope_scaling is None:
        return MAX_TOKENS
    return max(MAX_TOKENS, round(spec.rope_scaling.factor * spec.rope_scaling.original_max_tokens))
