"""Tokens to text while they come: no character is cut in two, no blank lost or doubled.

Only what will not change any more is given out: a character that is several tokens waits for its last one, and what a
tokenizer writes between two tokens is seen by decoding each with those before it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from proxies.tokenizers import Tokenizer

_UNFINISHED: Final = "\N{REPLACEMENT CHARACTER}"
"""What decoders write for bytes that are no character, or none yet."""

_LONGEST_WAIT: Final = 16
"""Tokens. A character is four bytes at most; longer chains of tokens that all end within one do not come by nature."""


class TextStream:
    """Turns tokens into text one at a time; together it is the text of all of them after the context."""

    def __init__(self, tokenizer: Tokenizer, *, context: Sequence[int] = ()) -> None:
        """Begin after a context, whose text is not given out."""
        self._tokenizer = tokenizer
        self._shown = list(context)
        self._waiting: list[int] = []

    def add(self, token: int) -> str:
        """Return the text that a further token completes; often its own, sometimes none yet."""
        self._waiting.append(token)
        text = self._new_text()
        if text.endswith(_UNFINISHED) and len(self._waiting) < _LONGEST_WAIT:
            return ""
        # After a token without text, such as a special one, the next is written as what came before it says.
        self._shown, self._waiting = self._waiting if text else self._shown + self._waiting, []
        return text

    def end(self) -> str:
        """Return what was still waiting; a character that was never finished becomes U+FFFD."""
        text = self._new_text()
        self._shown, self._waiting = self._shown + self._waiting, []
        return text

    def _new_text(self) -> str:
        before = self._decoded(self._shown)
        return self._decoded(self._shown + self._waiting)[len(before) :]

    def _decoded(self, tokens: list[int]) -> str:
        return self._tokenizer.decode(np.asarray(tokens, dtype=np.int64)) if tokens else ""
