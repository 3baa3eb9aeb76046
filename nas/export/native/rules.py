"""What formats of other engines cannot hold, a function for each rule that several have; without torch."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from nas.export.exporter import Obstacle
from search_spaces import Architecture
from search_spaces.specs import Activation, AttentionSpec, FFNSpec, Mamba2Spec, OperatorSpec, is_mixer

CONVOLUTION_WIDTHS: Final = range(2, 5)
"""Of causal-conv1d's kernels, which every engine runs or mirrors."""

Needed = Literal["never", "always", "either"]

Spec = TypeVar("Spec", bound=OperatorSpec)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionRules:
    """What an architecture's attention may be. Shared keys and values and values of another width it may never."""

    rope: Needed
    qk_norm: Needed
    bias: bool = False
    window: bool = False
    partial_rotation: bool = False
    frequency_scaling: bool = False
    output_gate: bool = False
    fills_width: bool = False
    """Whether num_heads × head_dim must be the width of the model."""


def other_kinds(
    architecture: Architecture, kinds: tuple[type[OperatorSpec], ...], *, engine: str, letters: str
) -> Iterator[Obstacle]:
    """Refuse operators of other kinds; `letters` says which are left."""
    found: dict[str, list[int]] = defaultdict(list)
    for index, spec in enumerate(architecture.operators):
        if not isinstance(spec, kinds):
            found[spec.kind if spec.kind != "fla" else spec.letter].append(index)
    for kind, indices in found.items():
        yield Obstacle(
            feature=f"{where(indices)}: {kind} has no counterpart in {engine}",
            remedy=f"search with the operators {letters} only",
        )


def meta_tokens(architecture: Architecture, *, engine: str) -> Iterator[Obstacle]:
    """Refuse meta tokens."""
    if architecture.num_meta_tokens:
        yield Obstacle(
            feature=f"{architecture.num_meta_tokens} meta tokens: {engine} has none",
            remedy="set num_meta_tokens to 0",
        )


def uniform(
    architecture: Architecture, cls: type[OperatorSpec], names: Iterable[str], *, engine: str
) -> Iterator[Obstacle]:
    """Refuse operators of one kind that differ in a field which the architecture holds once for all."""
    for name in names:
        values: dict[object, list[int]] = defaultdict(list)
        for index, spec in enumerate(architecture.operators):
            if isinstance(spec, cls):
                values[getattr(spec, name)].append(index)
        if len(values) > 1:
            differing = ", ".join(f"{value} in {where(indices)}" for value, indices in values.items())
            yield Obstacle(
                feature=f"{name} of {cls.kind} differs: {differing}; {engine} has one for all",
                remedy=f"give every {cls.kind} the same {name}",
            )


def attention(architecture: Architecture, rules: AttentionRules, *, engine: str) -> Iterator[Obstacle]:
    """Refuse features of attention that the architecture's has not."""
    operators = indexed(architecture, AttentionSpec)

    def struck(condition: str, remedy: str, indices: list[int]) -> Iterator[Obstacle]:
        if indices:
            yield Obstacle(feature=f"{where(indices)}: {condition}", remedy=remedy)

    with_rope = [index for index, spec in operators if spec.rope_theta is not None]
    without_rope = [index for index, spec in operators if spec.rope_theta is None]
    if rules.rope == "never":
        yield from struck(f"{engine} has no rotary embedding", "set rope_theta to none", with_rope)
    else:
        if rules.rope == "always":
            yield from struck(f"{engine} always has a rotary embedding", "set rope_theta", without_rope)
        if not rules.partial_rotation:
            partial = [index for index, spec in operators if spec.rotary_fraction != 1]
            yield from struck(f"{engine} rotates whole heads", "set rotary_fraction to 1", partial)
        if not rules.frequency_scaling:
            scaled = [index for index, spec in operators if spec.rope_scaling is not None]
            yield from struck(f"{engine} does not scale frequencies", "leave rope_scaling out", scaled)
    if rules.qk_norm != "either":
        always = rules.qk_norm == "always"
        other = [index for index, spec in operators if spec.qk_norm != always]
        has = "always norms" if always else "does not norm"
        yield from struck(f"{engine} {has} queries and keys", f"set qk_norm to {str(always).lower()}", other)
    for allowed, name, feature in (
        (rules.bias, "bias", "has no biases on q, k and v"),
        (rules.window, "window", "has no sliding window"),
        (rules.output_gate, "output_gate", "does not gate what attention returns"),
    ):
        if not allowed:
            having = [index for index, spec in operators if getattr(spec, name)]
            yield from struck(f"{engine} {feature}", f"leave {name} out", having)
    shared = [index for index, spec in operators if spec.shares_kv_with is not None]
    yield from struck(f"{engine} does not share keys and values", "leave shares_kv_with out", shared)
    wider = [index for index, spec in operators if spec.value_head_dim is not None]
    yield from struck(f"{engine} has values as wide as keys", "leave value_head_dim out", wider)
    if rules.fills_width:
        width = architecture.hidden_size
        other = [index for index, spec in operators if spec.num_heads * spec.head_dim != width]
        yield from struck(
            f"{engine} takes head_dim from hidden_size / num_heads",
            f"choose num_heads × head_dim = {width}",
            other,
        )


def some_attention(architecture: Architecture, *, engine: str) -> Iterator[Obstacle]:
    """Refuse a model without attention."""
    if first(architecture, AttentionSpec) is None:
        yield Obstacle(
            feature=f"no attention: transformers counts the tokens of {engine} in the cache of one",
            remedy="propose at least one attention",
        )


def mamba2_fills_width(architecture: Architecture, *, engine: str) -> Iterator[Obstacle]:
    """Refuse Mamba2 whose inner width is no multiple of the model's."""
    width = architecture.hidden_size
    uneven = [index for index, spec in indexed(architecture, Mamba2Spec) if spec.inner_size % width]
    if uneven:
        yield Obstacle(
            feature=f"{where(uneven)}: {engine} takes Mamba2's inner width as a multiple of hidden_size {width}",
            remedy=f"choose num_heads × head_dim of Mamba2 among {width}, {2 * width}, {3 * width}, …",
        )


def mamba2_norms_each_group(architecture: Architecture, *, engine: str) -> Iterator[Obstacle]:
    """Refuse Mamba2 of several groups that are normed together."""
    together = [index for index, spec in indexed(architecture, Mamba2Spec) if not spec.grouped_norm]
    if together:
        yield Obstacle(
            feature=f"{where(together)}: {engine} norms each group of Mamba2 apart",
            remedy="set grouped_norm to true, or num_groups to 1",
        )


def convolutions(architecture: Architecture, *, engine: str) -> Iterator[Obstacle]:
    """Refuse short convolutions that no kernel of the engines has."""
    outside = [
        index
        for index, spec in enumerate(architecture.operators)
        if getattr(spec, "conv_width", CONVOLUTION_WIDTHS[0]) not in CONVOLUTION_WIDTHS
    ]
    if outside:
        least, most = CONVOLUTION_WIDTHS[0], CONVOLUTION_WIDTHS[-1]
        yield Obstacle(
            feature=f"{where(outside)}: the convolutions of {engine} span {least} to {most} tokens",
            remedy=f"set conv_width between {least} and {most}",
        )


def activations(architecture: Architecture, activation: Activation, *, engine: str) -> Iterator[Obstacle]:
    """Refuse FFNs with another activation."""
    other = [index for index, spec in indexed(architecture, FFNSpec) if spec.activation != activation]
    if other:
        yield Obstacle(
            feature=f"{where(other)}: the FFN of {engine} is {activation}", remedy=f"set activation to {activation}"
        )


def ffns_behind_mixers(architecture: Architecture, *, engine: str) -> Iterator[Obstacle]:
    """Refuse FFNs with no mixer right before them; a mixer without FFN can be given one of zeros."""
    operators = architecture.operators
    alone = [
        index
        for index, spec in enumerate(operators)
        if not is_mixer(spec) and (index == 0 or not is_mixer(operators[index - 1]))
    ]
    if alone:
        yield Obstacle(
            feature=f"{where(alone)}: a layer of {engine} is a mixer and the FFN behind it",
            remedy="propose no FFN at the start or behind another FFN",
        )


def indexed(architecture: Architecture, cls: type[Spec]) -> list[tuple[int, Spec]]:
    """Return the operators of one kind with their places."""
    return [(index, spec) for index, spec in enumerate(architecture.operators) if isinstance(spec, cls)]


def first(architecture: Architecture, cls: type[Spec]) -> Spec | None:
    """Return the first operator of one kind, which stands for all where they are uniform."""
    return next((spec for spec in architecture.operators if isinstance(spec, cls)), None)


def where(indices: Iterable[int]) -> str:
    """Return `operator 3` or `operators 0, 8`."""
    listed = list(indices)
    return f"operator{'s' if len(listed) > 1 else ''} {', '.join(map(str, listed))}"
