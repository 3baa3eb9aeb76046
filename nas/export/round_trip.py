"""The proof of an export: transformers reads what was written, and its logits are our model's.

It reads in a process of its own, which knows nothing but the folder and keeps no copy of its code.
"""

import copy
import importlib.util
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nas.errors import ExportError
from nas.export import reload
from nas.export.exporter import TRANSFORMERS, Exporter

if TYPE_CHECKING:
    from torch import Tensor

    from operators.model import HybridLM

LARGEST_DIFFERENCE: Final = 1e-4
"""Root mean square of the logits' difference, relative to that of the logits, in float32."""

_BATCH: Final = 2
_TOKENS: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What came of it."""

    difference: float | None
    """None where nothing could be checked."""

    words: str


def prove(model: "HybridLM", folder: Path, *, exporter: Exporter) -> Proof:
    """Compare a folder just written with the model it was written from.

    Raises:
        ExportError: transformers cannot read it, or computes something else.
    """
    if TRANSFORMERS not in exporter.serve_commands(str(folder)):
        return Proof(difference=None, words="Not checked here: transformers has no class for this format.")
    if importlib.util.find_spec("transformers") is None:
        return Proof(difference=None, words="Not checked: transformers is not installed. pip install 'hybridnas[eval]'")
    from importlib.metadata import version

    tokens = _tokens(model)
    difference = relative_rms(_ours(model, tokens), _foreign(folder, tokens))
    if not difference <= LARGEST_DIFFERENCE:
        raise ExportError(
            f"What transformers {version('transformers')} reads from {exporter.name} is not this model: its logits "
            f"differ by {difference:.1e}, at most {LARGEST_DIFFERENCE:.0e} is rounding. Nothing was exported."
        )
    return Proof(
        difference=difference,
        words=(
            f"Checked: logits of transformers {version('transformers')} equal the original's in float32 "
            f"(relative RMS {difference:.1e})."
        ),
    )


def relative_rms(ours: "Tensor", foreign: "Tensor") -> float:
    """Return the root mean square of the difference, relative to that of ours; infinite for other shapes."""
    if ours.shape != foreign.shape:
        return float("inf")
    return float((ours - foreign).double().square().mean().sqrt() / ours.double().square().mean().sqrt())


def _tokens(model: "HybridLM") -> "Tensor":
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.randint(model.architecture.vocab_size, (_BATCH, _TOKENS), generator=generator)


def _ours(model: "HybridLM", tokens_BT: "Tensor") -> "Tensor":
    import torch

    is_wide = all(parameter.dtype == torch.float32 for parameter in model.parameters())
    with torch.no_grad():
        wide = model if is_wide else copy.deepcopy(model).float()
        logits_BTV: Tensor = wide(tokens_BT.to(model.embedding.device))
    return logits_BTV.cpu()


def _foreign(folder: Path, tokens_BT: "Tensor") -> "Tensor":
    from safetensors.torch import load_file, save_file

    with tempfile.TemporaryDirectory(prefix="hybridnas-reload-") as name:
        place = Path(name)
        save_file({"tokens": tokens_BT}, place / "tokens")
        environment = {**os.environ, "HF_MODULES_CACHE": str(place / "modules"), "HF_HUB_OFFLINE": "1"}
        files = (str(folder.absolute()), str(place / "tokens"), str(place / "logits"))
        finished = subprocess.run(
            [sys.executable, "-I", reload.__file__, *files],
            env=environment,
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode:
            last = (finished.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise ExportError(f"transformers cannot read what was written: {last} Nothing was exported.")
        return load_file(place / "logits")["logits"]
