"""Formats that hold weights, by name: what each promises, and how it says what it cannot hold.

Not how one is written: `hf/` is ours, `native/` are those of other engines. Asking a format what it can hold needs no
torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from nas.errors import ExportError
from proxies.tokenizers import Tokenizer
from search_spaces import Architecture

if TYPE_CHECKING:
    from operators.model import HybridLM

TRANSFORMERS: Final = "transformers"
"""The engine in which a round trip is proven: who names it among `serve_commands` is reloaded and compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """A feature of an architecture that a format has no word for."""

    feature: str
    """What stands in the way, with the operator's index where it is one operator's."""

    remedy: str
    """What to change in the space."""

    def __str__(self) -> str:
        return f"{self.feature}: {self.remedy}"


class Exporter(Protocol):
    """One format. Its logits are our model's, or it refuses."""

    @property
    def name(self) -> str:
        """What `--format` calls it."""

    def obstacles(self, architecture: Architecture) -> tuple[Obstacle, ...]:
        """Return everything of an architecture that the format cannot hold, empty where it can hold it; without torch.

        Called for every proposal of a space that demands the format: it must be fast.
        """

    def emulations(self, architecture: Architecture) -> tuple[str, ...]:
        """Return, of an architecture without obstacles, what is held by standing in for it, such as a zeroed gate."""

    def write(self, model: "HybridLM", folder: Path, *, tokenizer: Tokenizer | None) -> None:
        """Write everything the engine reads into an existing empty folder.

        Raises:
            ExportError: the weights cannot be held exactly.
        """

    def serve_commands(self, folder: str) -> dict[str, str]:
        """Return the command that serves such a folder by engine.

        `transformers` among them means that it loads there with `AutoModelForCausalLM.from_pretrained`.
        """


def exporters() -> Mapping[str, Exporter]:
    """Return every format that holds weights, by its name."""
    from nas.export.hf.exporter import HuggingFaceExporter
    from nas.export.native.registry import NATIVE_EXPORTERS

    every: tuple[Exporter, ...] = (HuggingFaceExporter(), *NATIVE_EXPORTERS)
    return {exporter.name: exporter for exporter in every}


def require_expressible(exporter: Exporter, architecture: Architecture) -> None:
    """Refuse an architecture that a format cannot hold.

    Raises:
        ExportError: it cannot; all obstacles are listed.
    """
    require_all_expressible(exporter, {"this architecture": architecture})


def require_all_expressible(exporter: Exporter, architectures: Mapping[str, Architecture]) -> None:
    """Refuse architectures, by their names, of which a format cannot hold one.

    Raises:
        ExportError: with every obstacle of every one.
    """
    found = [(name, exporter.obstacles(architecture)) for name, architecture in architectures.items()]
    refused = [(name, obstacles) for name, obstacles in found if obstacles]
    if not refused:
        return
    is_one = len(architectures) == 1
    what = refused[0][0] if is_one else f"{len(refused)} of {len(architectures)} models"
    listed = (f"  - {obstacle}" if is_one else f"  - {name}: {obstacle}" for name, each in refused for obstacle in each)
    raise ExportError(
        f"The format {exporter.name} cannot hold {what}. In the way, and what to change in the space:\n"
        + "\n".join(listed)
    )
