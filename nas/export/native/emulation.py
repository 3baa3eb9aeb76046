"""Other architectures that compute the same: what stands in for a feature that a format has no word for.

Planned here without torch; the weights of what is planned are `emulated_weights.py`.
"""

from dataclasses import dataclass, replace
from typing import Final

from search_spaces import Architecture
from search_spaces.specs import DeltaNetSpec, FFNSpec, GatedDeltaNetSpec, OperatorSpec, is_mixer

SMALLEST_FFN: Final = 128
"""Channels of an FFN of zeros where the model has no FFN to take the size from: one tile of the engines' kernels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulation:
    """An architecture whose logits are another's, given the weights made for it."""

    architecture: Architecture
    sources: tuple[int | None, ...]
    """The operator of the model that each operator stands for; none for one that adds nothing."""

    words: tuple[str, ...] = ()
    """What was done, for people."""


def unchanged(architecture: Architecture) -> Emulation:
    """Return the architecture as its own stand-in."""
    return Emulation(architecture=architecture, sources=tuple(range(architecture.depth)))


def with_own_head(emulation: Emulation) -> Emulation:
    """Give the head a copy of the embedding where they are tied."""
    if not emulation.architecture.tie_embeddings:
        return emulation
    return replace(
        emulation,
        architecture=replace(emulation.architecture, tie_embeddings=False),
        words=(*emulation.words, "the head is a copy of the embedding, which the model ties to it"),
    )


def with_ffn_behind_mixers(emulation: Emulation) -> Emulation:
    """Put an FFN of zeros behind every mixer that has none."""
    operators = emulation.architecture.operators
    sizes = [spec.intermediate_size for spec in operators if isinstance(spec, FFNSpec)]
    nothing = FFNSpec(intermediate_size=max(sizes, default=SMALLEST_FFN))
    completed: list[tuple[OperatorSpec, int | None]] = []
    lacking = []
    for index, (spec, source) in enumerate(zip(operators, emulation.sources, strict=True)):
        completed.append((spec, source))
        following = operators[index + 1] if index + 1 < len(operators) else None
        if is_mixer(spec) and not isinstance(following, FFNSpec):
            completed.append((nothing, None))
            lacking.append(source)
    if not lacking:
        return emulation
    words = f"behind {_operators(lacking)} stands an FFN of {nothing.intermediate_size} channels that are zero"
    return _with_operators(emulation, completed, words)


def with_ffns_of_one_size(emulation: Emulation, *, multiple_of: int = 1) -> Emulation:
    """Pad every FFN with channels of zeros to the size of the largest, rounded up to a multiple."""
    operators = emulation.architecture.operators
    sizes = [spec.intermediate_size for spec in operators if isinstance(spec, FFNSpec)]
    size = -(-max(sizes, default=0) // multiple_of) * multiple_of
    padded: list[tuple[OperatorSpec, int | None]] = []
    changed = []
    for spec, source in zip(operators, emulation.sources, strict=True):
        if isinstance(spec, FFNSpec) and spec.intermediate_size != size:
            spec = replace(spec, intermediate_size=size)
            changed.append(source)
        padded.append((spec, source))
    if not changed:
        return emulation
    return _with_operators(emulation, padded, f"{_operators(changed)} is padded to {size} channels with zeros")


def with_constant_memory(emulation: Emulation) -> Emulation:
    """Make every gated-output DeltaNet one whose memory could decay and never does."""
    rewritten: list[tuple[OperatorSpec, int | None]] = []
    changed = []
    for spec, source in zip(emulation.architecture.operators, emulation.sources, strict=True):
        if isinstance(spec, DeltaNetSpec) and spec.output_gate:
            spec = GatedDeltaNetSpec(
                num_heads=spec.num_heads,
                head_dim=spec.head_dim,
                conv_width=spec.conv_width,
                allow_negative_eigenvalues=spec.allow_negative_eigenvalues,
            )
            changed.append(source)
        rewritten.append((spec, source))
    if not changed:
        return emulation
    return _with_operators(emulation, rewritten, f"{_operators(changed)} is a gated DeltaNet whose decay is held at 1")


def _with_operators(emulation: Emulation, operators: list[tuple[OperatorSpec, int | None]], words: str) -> Emulation:
    return Emulation(
        architecture=replace(emulation.architecture, operators=tuple(spec for spec, _ in operators)),
        sources=tuple(source for _, source in operators),
        words=(*emulation.words, words),
    )


def _operators(indices: list[int | None]) -> str:
    known = [index for index in indices if index is not None]
    return f"each of the operators {', '.join(map(str, known))}" if len(known) > 1 else f"operator {known[0]}"
