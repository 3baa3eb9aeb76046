"""Which layer computes which spec."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import torch

from operators.attention.layer import Attention
from operators.backends import AUTO
from operators.base import Operator
from operators.deltanet.layer import DeltaNet
from operators.ffn.layer import FFN
from operators.fla.layer import FlaLayer
from operators.gated_deltanet.layer import GatedDeltaNet
from operators.hybrid_head.layer import HybridHead
from operators.initialization import generator_from, initialize_operator
from operators.mamba1.layer import Mamba1
from operators.mamba2.layer import Mamba2
from search_spaces.errors import SpecError, UnavailableError, near_miss
from search_spaces.specs import (
    AttentionSpec,
    DeltaNetSpec,
    FFNSpec,
    FlaSpec,
    GatedDeltaNetSpec,
    HybridHeadSpec,
    Mamba1Spec,
    Mamba2Spec,
    OperatorSpec,
)

LayerClass = type[Operator[Any]]
L = TypeVar("L", bound=LayerClass)


class Registry:
    """A table from spec class to layer class; it only grows."""

    def __init__(self, layers: Mapping[type[Any], LayerClass]) -> None:
        self._layers: dict[type[Any], LayerClass] = {}
        for spec_class, layer_class in layers.items():
            self.register(spec_class)(layer_class)

    def register(self, spec_class: type[Any]) -> Callable[[L], L]:
        """Return a class decorator that makes a layer compute `spec_class`.

        Its constructor takes `(spec, *, hidden_size, norm_eps, backend)`.

        Raises:
            SpecError: the spec class has a layer already.
        """
        if spec_class in self._layers:
            raise SpecError(
                f"{spec_class.__name__} is registered already, with {self._layers[spec_class].__name__}. "
                f"Registered: {self._names()}."
            )

        def add(layer_class: L) -> L:
            self._layers[spec_class] = layer_class
            return layer_class

        return add

    def layer_class(self, spec_class: type[Any]) -> LayerClass:
        """Return the layer that computes `spec_class`.

        Raises:
            SpecError: none is registered.
        """
        if spec_class not in self._layers:
            raise SpecError(f"No layer computes {spec_class.__name__}. Registered: {self._names()}.")
        return self._layers[spec_class]

    def spec_classes(self) -> tuple[type[Any], ...]:
        """Return every spec class that has a layer."""
        return tuple(self._layers)

    def _names(self) -> str:
        return ", ".join(sorted(cls.__name__ for cls in self._layers))


REGISTRY: Final = Registry(
    {
        AttentionSpec: Attention,
        Mamba1Spec: Mamba1,
        Mamba2Spec: Mamba2,
        DeltaNetSpec: DeltaNet,
        GatedDeltaNetSpec: GatedDeltaNet,
        HybridHeadSpec: HybridHead,
        FlaSpec: FlaLayer,
        FFNSpec: FFN,
    }
)


def backends_within(specs: Sequence[OperatorSpec], *, requested: str) -> tuple[str, ...]:
    """Return what to ask each operator of a model for: the backend requested where it has it, else `auto`.

    Raises:
        UnavailableError: none of the operators has it.
    """
    offered = [REGISTRY.layer_class(type(spec)).offered_backends(spec) for spec in specs]
    if requested != AUTO and not any(requested in names for names in offered):
        known = {AUTO}.union(*offered)
        raise UnavailableError(
            f"backend must be one that an operator of the model has; got {requested!r}.{near_miss(requested, known)}"
        )
    return tuple(requested if requested in names else AUTO for names in offered)


def build_operator(spec: OperatorSpec, *, hidden_size: int, norm_eps: float, backend: str = AUTO) -> Operator[Any]:
    """Return the layer of a spec on the current default device, its weights drawn from a fixed seed.

    A model draws them again from its own seed.

    Raises:
        SpecError: no layer computes the spec.
        UnavailableError: the layer has no such backend.
    """
    device = torch.empty(0).device
    with torch.device("meta"):
        layer = REGISTRY.layer_class(type(spec))(
            spec,
            hidden_size=hidden_size,
            norm_eps=norm_eps,
            backend=backend,
        )
    layer.to_empty(device=device)
    initialize_operator(layer, generator=generator_from(0), depth=1)
    return layer
