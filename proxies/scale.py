"""From the architecture that is priced to the one that is trained for its score."""

from dataclasses import replace

from search_spaces.architecture import Architecture


def proxy_scale(target: Architecture, *, vocab_size: int) -> Architecture:
    """Return the target with the vocabulary of the proxy's tokenizer: the same width and the same operators.

    Latency, memory and parameters price the target itself: a byte vocabulary would hide its head.
    """
    return replace(target, vocab_size=vocab_size)
