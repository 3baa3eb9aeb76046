"""Which class of `fla.layers` a name stands for, and how it is constructed.

A layer is called like the module that defines it: `kda`, `gla`, `rwkv7`, `gated_deltanet`. Nothing is listed here, so a
layer that a newer fla brings is found under its name.
"""

import inspect
import re
from collections.abc import Mapping
from typing import Any, Final

from torch import nn

from operators.backends import BACKENDS
from search_spaces.errors import SpecError, UnavailableError, near_miss
from search_spaces.specs import FlaSpec

OURS: Final = {"mamba": "m1", "mamba2": "m2"}
"""Layers that are operators of this project, by letter; fla's own neither pack documents nor resume a prefill."""

FEWEST_LAYERS: Final = 2
"""Depth that a layer is told which scales its initial weights by depth; some divide by the layers after the first."""

GIVEN: Final = frozenset({"self", "hidden_size", "d_model", "num_heads", "head_dim", "norm_eps", "layer_idx"})
"""Arguments that no option may set: the spec has a field for them, or the model decides."""


def layer_classes() -> Mapping[str, type[nn.Module]]:
    """Return every layer that fla exports, by name.

    Raises:
        UnavailableError: fla is absent.
    """
    missing = BACKENDS["fla"].missing_package()
    if missing is not None:
        raise UnavailableError(f"Operators of kind fla need flash-linear-attention: {missing}.")
    from fla import layers

    exported: dict[str, list[type[nn.Module]]] = {}
    for name in layers.__all__:
        found = getattr(layers, name)
        exported.setdefault(found.__module__.rpartition(".")[2], []).append(found)
    return {
        module if len(classes) == 1 else _snake_case(cls.__name__): cls
        for module, classes in exported.items()
        for cls in classes
    }


def build_layer(spec: FlaSpec, *, hidden_size: int, norm_eps: float, depth: int = FEWEST_LAYERS) -> nn.Module:
    """Return the layer with fla's initial weights, as the first of a model of `depth` layers.

    Heads, their width and the norm's epsilon are given as far as the constructor takes them, and so is the inner width
    that they make, over the model's (`expand`). Where a layer takes no head width, what it derives must be the spec's.

    Raises:
        SpecError: no such layer, no such option, or dimensions that the layer does not take.
        UnavailableError: fla is absent.
    """
    known = layer_classes()
    if spec.layer in OURS:
        raise SpecError(f"fla:{spec.layer} is an operator of this project. Write {OURS[spec.layer]} instead.")
    if spec.layer not in known:
        raise SpecError(f"fla has no layer {spec.layer!r}.{near_miss(spec.layer, set(known) - set(OURS))}")
    layer_class = known[spec.layer]
    parameters = inspect.signature(layer_class.__init__).parameters
    accepted = {name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD}
    options = dict(spec.options)
    for name in options:
        if name not in accepted - GIVEN:
            raise SpecError(f"fla:{spec.layer} has no option {name!r}.{near_miss(name, accepted - GIVEN)}")
    given: dict[str, Any] = {
        "hidden_size": hidden_size,
        "num_heads": spec.num_heads,
        "head_dim": spec.head_dim,
        "norm_eps": norm_eps,
        "layer_idx": 0,
        "num_hidden_layers": max(depth, FEWEST_LAYERS),
    }
    if spec.num_heads is not None and spec.head_dim is not None:
        inner = spec.num_heads * spec.head_dim
        given["expand"] = inner // hidden_size if inner % hidden_size == 0 else inner / hidden_size
    arguments = {name: value for name, value in given.items() if name in accepted and value is not None} | options
    try:
        layer = layer_class(**arguments)
    except ImportError as error:
        raise UnavailableError(f"fla:{spec.layer} needs more than fla: {error}") from error
    except (ArithmeticError, AssertionError, ValueError, NotImplementedError) as error:
        raise SpecError(f"fla:{spec.layer} does not take these dimensions: {error} Given: {arguments}.") from error
    _check_heads(layer, spec)
    return layer


def _check_heads(layer: nn.Module, spec: FlaSpec) -> None:
    """Check what the layer made of heads and their width where it has such attributes."""
    wanted: dict[str, tuple[Any, tuple[str, ...]]] = {
        "num_heads": (spec.num_heads, ("num_heads",)),
        "head_dim": (spec.head_dim, ("head_dim", "head_k_dim", "head_v_dim")),
    }
    for field, (value, attributes) in wanted.items():
        made = {name: getattr(layer, name) for name in attributes if isinstance(getattr(layer, name, None), int)}
        if made and value not in (None, *made.values()):
            shown = ", ".join(f"{name} = {number}" for name, number in made.items())
            raise SpecError(
                f"fla:{spec.layer} derives its heads itself: {shown}; the spec says {field} = {value}. "
                f"Set {field} to what it derives, or the options it derives it from (such as expand_k, expand_v)."
            )


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
