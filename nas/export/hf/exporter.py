"""Format `hf`: a folder that transformers loads with `trust_remote_code=True` and without this project."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, final

from nas.export.exporter import TRANSFORMERS, Obstacle, require_expressible
from nas.export.hf.folder import CODE_FILE, config_of, foreign_name
from nas.export.hf.merging import modelling_code
from proxies.tokenizers import Tokenizer
from search_spaces import Architecture
from search_spaces.specs import FlaSpec

if TYPE_CHECKING:
    from operators.model import HybridLM


@final
class HuggingFaceExporter:
    """Everything but layers of flash-linear-attention, which are that package's code."""

    name: ClassVar[str] = "hf"

    def obstacles(self, architecture: Architecture) -> tuple[Obstacle, ...]:
        """Return the operators that are another package's layers."""
        return tuple(
            Obstacle(
                feature=f"operator {index} is {spec.letter}, a layer of flash-linear-attention",
                remedy="leave fla layers out of the space",
            )
            for index, spec in enumerate(architecture.operators)
            if isinstance(spec, FlaSpec)
        )

    def emulations(self, architecture: Architecture) -> tuple[str, ...]:
        """Return nothing: the code is written for these operators."""
        del architecture
        return ()

    def write(self, model: "HybridLM", folder: Path, *, tokenizer: Tokenizer | None) -> None:
        """Write configuration, code, weights and tokenizer.

        Raises:
            ExportError: an operator has no counterpart in plain torch.
        """
        from nas.export.native.folder import write_folder

        require_expressible(self, model.architecture)
        weights = {foreign_name(name): tensor for name, tensor in model.state_dict().items()}
        (folder / CODE_FILE).write_text(modelling_code(), encoding="utf-8")
        write_folder(folder, config_of(model.architecture), weights, tokenizer=tokenizer)

    def serve_commands(self, folder: str) -> dict[str, str]:
        """Return transformers' own server."""
        return {TRANSFORMERS: f"transformers serve {folder} --trust-remote-code"}
