"""Tokenize many texts in order, in this process or by several."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from proxies.errors import LostProcessError
from proxies.tokenizers import Tokenizer

T = TypeVar("T")

Tokens = NDArray[np.uint16] | NDArray[np.uint32]

_BATCH_LETTERS: Final = 2**20
"""Sent to a process at once."""

_BATCHES_AHEAD: Final = 2
"""For each process, so that none waits while a result is written."""


def encode_document(text: str, *, tokenizer: Tokenizer, bytes_per_token: NDArray[np.int64]) -> tuple[Tokens, int]:
    """Return a text's tokens with the end of the document, and the bytes they are said to stand for."""
    tokens = tokenizer.encode(text)
    end = np.array([tokenizer.end_of_document], dtype=tokens.dtype)
    return np.concatenate((tokens, end)), int(bytes_per_token[tokens].sum())


def encode_documents(
    texts: Iterable[tuple[T, str]], *, tokenizer: Tokenizer, num_processes: int
) -> Generator[tuple[T, Tokens, int], None, None]:
    """Yield each label with its text's tokens and their bytes, in order; to be closed if it is not gone through.

    Raises:
        LostProcessError: one of several processes was killed.
    """
    sizes = tokenizer.bytes_per_token
    if num_processes == 1:
        for label, text in texts:
            yield label, *encode_document(text, tokenizer=tokenizer, bytes_per_token=sizes)
        return
    # Not forked: the tokenizer's library and others have threads.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_processes, mp_context=context, initializer=_follow_parent)
    encode = partial(_encode_batch, tokenizer)
    waiting: deque[tuple[list[T], Future[list[tuple[Tokens, int]]]]] = deque()
    try:
        for labels, batch in _batches(texts):
            waiting.append((labels, pool.submit(encode, batch)))
            if len(waiting) > num_processes * _BATCHES_AHEAD:
                yield from _result(*waiting.popleft())
        while waiting:
            yield from _result(*waiting.popleft())
    except BrokenProcessPool as error:
        raise LostProcessError(
            f"All {num_processes} processes that tokenize must live until the text is done; one was killed. "
            "Look at the host's memory; calling again goes on where it ended."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Leave interrupts to the parent, and end when it does, which processes of a pool do not by themselves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "called in a process of a pool"

    def end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def _encode_batch(tokenizer: Tokenizer, texts: list[str]) -> list[tuple[Tokens, int]]:
    sizes = tokenizer.bytes_per_token
    return [encode_document(text, tokenizer=tokenizer, bytes_per_token=sizes) for text in texts]


def _result(labels: list[T], future: "Future[list[tuple[Tokens, int]]]") -> Iterator[tuple[T, Tokens, int]]:
    for label, (tokens, num_bytes) in zip(labels, future.result(), strict=True):
        yield label, tokens, num_bytes


def _batches(texts: Iterable[tuple[T, str]]) -> Iterator[tuple[list[T], list[str]]]:
    labels: list[T] = []
    batch: list[str] = []
    num_letters = 0
    for label, text in texts:
        labels.append(label)
        batch.append(text)
        num_letters += len(text)
        if num_letters >= _BATCH_LETTERS:
            yield labels, batch
            labels, batch, num_letters = [], [], 0
    if batch:
        yield labels, batch
