"""One architecture that can be read: what its configuration means, and what its tensors are called."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.export.native.exporter import NativeExporter
from nas.export.native.layout import Layout
from nas.importing.config import Config
from search_spaces import Architecture

if TYPE_CHECKING:
    from torch import Tensor

Weights = Mapping[str, "Tensor"]


def as_they_are(weights: Weights, config: Config, architecture: Architecture) -> tuple[Weights, Architecture]:
    """Return weights of ours that need nothing more."""
    del config
    return weights, architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How to read one `model_type`; names and folds are those of the exporter that writes it."""

    architecture: Callable[[Config], Architecture]
    exporter: NativeExporter | None = None
    renamed: Mapping[str, str] | None = None
    """Beginnings of names that other versions write, and those the layout has."""

    dropped: tuple[str, ...] = ()
    """Beginnings of names that are no part of the text model."""

    layout: Callable[[Architecture], Layout] | None = None
    """Where the exporter's is not it."""

    fold: Callable[[Weights, Config, Architecture], tuple[Weights, Architecture]] = as_they_are
    """Folds what only the configuration says, such as multipliers, into weights of ours."""

    def layout_of(self, architecture: Architecture) -> Layout:
        """Return where the parameters of an architecture are."""
        if self.layout is not None:
            return self.layout(architecture)
        assert self.exporter is not None
        return self.exporter.layout(architecture)

    def unfolded(self, foreign: dict[str, "Tensor"], architecture: Architecture) -> dict[str, "Tensor"]:
        """Return the tensors that the layout describes."""
        return foreign if self.exporter is None else self.exporter.unfold(foreign, architecture)

    def standard_name(self, name: str) -> str | None:
        """Return a tensor's name in the layout; none for one that is no part of the model."""
        if name.startswith(self.dropped) or name.endswith("rotary_emb.inv_freq"):
            return None
        for beginning, standard in (self.renamed or {}).items():
            if name.startswith(beginning):
                return f"{standard}{name.removeprefix(beginning)}"
        return name
