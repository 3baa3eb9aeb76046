"""The tokenizer of a published model."""

import json
from pathlib import Path

from nas.errors import ModelImportError
from nas.export.tokenizer_files import is_of_bytes
from nas.importing.config import CONFIG_FILE
from proxies.errors import DataError
from proxies.json_tokenizer import TOKENIZER_FILE, read_tokenizer, tokenizer_of
from proxies.tokenizers import ByteTokenizer, Tokenizer


def read_published_tokenizer(folder: Path, *, vocab_size: int) -> Tokenizer:
    """Return the tokenizer of a folder that has a `tokenizer.json`; of one that we wrote for bytes, that of bytes.

    Args:
        folder: of the model.
        vocab_size: rows of its embedding, which may be more than there are tokens.

    Raises:
        ModelImportError: it is no tokenizer or that of another model, or neither the tokenizer's files nor the
            configuration say what ends a document.
    """
    try:
        tokenizer = _read(folder)
    except (DataError, ValueError) as error:
        raise ModelImportError(f"The tokenizer in {folder} cannot be read: {error}") from error
    if tokenizer.vocab_size > vocab_size:
        raise ModelImportError(
            f"The tokenizer in {folder} has {tokenizer.vocab_size} tokens, the model only {vocab_size}: it is that of "
            f"another model. Put its own there, or none: without {TOKENIZER_FILE} the model is imported alone."
        )
    return tokenizer


def _read(folder: Path) -> Tokenizer:
    try:
        tokenizer = read_tokenizer(str(folder))
    except DataError as error:
        end = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")).get("eos_token_id")
        end = end[0] if isinstance(end, list) and end else end
        if isinstance(end, bool) or not isinstance(end, int):
            raise ModelImportError(f"{error} Or say eos_token_id in {folder / CONFIG_FILE}.") from error
        definition = (folder / TOKENIZER_FILE).read_text(encoding="utf-8")
        tokenizer = tokenizer_of(definition, name=f"{folder.absolute().name}/{TOKENIZER_FILE}", end_of_document=end)
    return ByteTokenizer() if is_of_bytes(json.loads(tokenizer.definition)) else tokenizer
