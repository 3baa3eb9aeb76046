"""A folder as the engines read it: config.json, generation_config.json, model.safetensors and the tokenizer's files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from nas.export.tokenizer_files import write_tokenizer
from nas.winners.weights import save_weights
from proxies.tokenizers import Tokenizer


def write_folder(
    folder: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor], *, tokenizer: Tokenizer | None
) -> None:
    """Write everything into an existing folder, the configuration last."""
    end = None if tokenizer is None else tokenizer.end_of_document
    special = {"bos_token_id": None, "eos_token_id": end, "pad_token_id": end}
    dtype = str(next(iter(weights.values())).dtype).removeprefix("torch.")
    save_weights(folder, weights)
    if tokenizer is not None:
        write_tokenizer(folder, tokenizer)
    _write_json(folder / "generation_config.json", special)
    _write_json(folder / "config.json", {**config, **special, "dtype": dtype, "torch_dtype": dtype})


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
