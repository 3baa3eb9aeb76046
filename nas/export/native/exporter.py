"""What the exporters of all native formats share: refuse, emulate, rename, fold, write.

Which features a format has, its configuration and its names are each format's own file.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

from nas.export.exporter import Obstacle, require_expressible
from nas.export.native.emulation import Emulation
from nas.export.native.layout import Layout, to_foreign
from proxies.tokenizers import Tokenizer
from search_spaces import Architecture

if TYPE_CHECKING:
    from torch import Tensor

    from operators.model import HybridLM


class NativeExporter(ABC):
    """A format of another engine."""

    name: ClassVar[str]

    @abstractmethod
    def obstacles(self, architecture: Architecture) -> tuple[Obstacle, ...]:
        """Return everything that the format cannot hold."""

    @abstractmethod
    def emulation(self, architecture: Architecture) -> Emulation:
        """Return the architecture that is written in place of one without obstacles."""

    @abstractmethod
    def config(self, architecture: Architecture) -> dict[str, Any]:
        """Return `config.json` of an emulation's architecture, without what the tokenizer says."""

    @abstractmethod
    def layout(self, architecture: Architecture) -> Layout:
        """Return where the parameters of an emulation's architecture are."""

    @abstractmethod
    def serve_commands(self, folder: str) -> dict[str, str]:
        """Return the command that serves a folder by engine."""

    def folded_words(self, architecture: Architecture) -> tuple[str, ...]:
        """Return what `fold` emulates, in words; nothing by itself."""
        del architecture
        return ()

    def fold(self, foreign: dict[str, "Tensor"], architecture: Architecture) -> dict[str, "Tensor"]:
        """Return the tensors as they are written, from tensors that are ours renamed; the same by itself."""
        del architecture
        return foreign

    def unfold(self, foreign: dict[str, "Tensor"], architecture: Architecture) -> dict[str, "Tensor"]:
        """Return the tensors that `fold` was given, from those it returned; the same by itself.

        Raises:
            ModelImportError: they hold what no fold leaves there, which our operators cannot compute.
        """
        del architecture
        return foreign

    def prepared(
        self, weights: Mapping[str, "Tensor"], architecture: Architecture
    ) -> tuple[Mapping[str, "Tensor"], Architecture]:
        """Return weights and architecture as they are to be held, with the same logits; the same by itself.

        Raises:
            ExportError: the weights are such that the format cannot hold them.
        """
        return weights, architecture

    @final
    def emulations(self, architecture: Architecture) -> tuple[str, ...]:
        """Return what stands in for something else, in words."""
        emulation = self.emulation(architecture)
        return (*emulation.words, *self.folded_words(emulation.architecture))

    @final
    def write(self, model: "HybridLM", folder: Path, *, tokenizer: Tokenizer | None) -> None:
        """Write configuration, weights and tokenizer into an existing empty folder.

        Raises:
            ExportError: an obstacle, or weights that the format cannot hold.
        """
        from nas.export.native.emulated_weights import emulated_weights
        from nas.export.native.folder import write_folder

        require_expressible(self, model.architecture)
        weights, architecture = self.prepared(model.state_dict(), model.architecture)
        emulation = self.emulation(architecture)
        made = emulated_weights(weights, architecture, emulation)
        foreign = self.fold(to_foreign(made, self.layout(emulation.architecture)), emulation.architecture)
        write_folder(
            folder,
            self.config(emulation.architecture),
            foreign,
            tokenizer=tokenizer,
        )
