"""The tokenizer of an exported folder: `tokenizer.json` and `tokenizer_config.json`, as transformers and engines read.

A tokenizer of bytes is written as a byte-level one that never merges.
"""

import json
from pathlib import Path
from typing import Any, Final

from proxies.json_tokenizer import TOKENIZER_FILE, JsonTokenizer
from proxies.tokenizers import ByteTokenizer, Tokenizer

END: Final = "<|endoftext|>"
"""What the end of a document is called where tokens are bytes."""

_CONFIG_FILE: Final = "tokenizer_config.json"


def write_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    """Write both files into an existing folder."""
    if isinstance(tokenizer, JsonTokenizer):
        definition: dict[str, Any] = json.loads(tokenizer.definition)
        end = _word(definition, tokenizer.end_of_document)
        # What puts special tokens around a text: the model was trained without.
        definition["post_processor"] = None
    else:
        definition, end = _bytes_definition(tokenizer.end_of_document), END
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": end,
        "pad_token": end,
        # A generation goes on behind the last token of a row, which must not be padding.
        "padding_side": "left",
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }
    for name, content in ((TOKENIZER_FILE, definition), (_CONFIG_FILE, config)):
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def is_of_bytes(definition: dict[str, Any]) -> bool:
    """Return whether a `tokenizer.json` is the one written here for bytes."""
    return definition == _bytes_definition(ByteTokenizer.end_of_document)


def _word(definition: dict[str, Any], token: int) -> str:
    """Return how a tokenizer spells one of its tokens."""
    added = {entry["id"]: entry["content"] for entry in definition.get("added_tokens", ())}
    if token in added:
        return str(added[token])
    vocab = definition["model"]["vocab"]
    words = vocab.items() if isinstance(vocab, dict) else ((word, place) for place, (word, _) in enumerate(vocab))
    return next(str(word) for word, place in words if place == token)


def _bytes_definition(end: int) -> dict[str, Any]:
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": end,
                "content": END,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
        ],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": _letters_of_bytes(),
            "merges": [],
        },
    }


def _letters_of_bytes() -> dict[str, int]:
    """Return the letter that byte-level tokenizers write for each byte: itself if printable, else one from 256 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}
    return dict(sorted(letters.items(), key=lambda entry: entry[1]))
