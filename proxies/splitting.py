"""Divide documents into train and validation by what they say.

A document's side depends on its content, not on its name, its place, a seed or the interpreter, and equal documents are
one document; so no validation text is ever trained on, and a copied or renamed corpus splits alike. Near duplicates are
not looked for.

Two rules: `split_documents` has every text before it and takes a share of the bytes; `StreamedSplit` has one at a time.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from proxies.file_formats import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A document with its size and digest."""

    text: str
    num_bytes: int
    digest: bytes
    """SHA-256 of the UTF-8 bytes."""

    @classmethod
    def of(cls, text: str) -> "Text":
        """Measure a text."""
        content = text.encode("utf-8")
        return cls(text=text, num_bytes=len(content), digest=hashlib.sha256(content).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitTexts:
    """Both sides, in the order of the source."""

    train: list[Text]
    validation: list[Text]
    num_duplicates: int
    is_one_document: bool
    """Whether there was one document only, whose end validates."""


def split_documents(documents: Iterable[Document], *, validation_fraction: float, max_bytes: int | None) -> SplitTexts:
    """Take about `validation_fraction` of the bytes for validation, whole documents in order of their digest.

    Documents larger than what is still wanted are passed over; if none fits, the smallest validates. A single document
    is validated by its end, from a line break on where there is one near. Reading stops after `max_bytes`.
    """
    texts: list[Text] = []
    seen: set[bytes] = set()
    num_read = 0
    for text in _measured(documents, max_bytes=max_bytes):
        num_read += 1
        if text.digest not in seen:
            seen.add(text.digest)
            texts.append(text)
    num_duplicates = num_read - len(texts)
    if len(texts) == 1:
        train, validation = _cut(texts[0].text, validation_fraction=validation_fraction)
        return SplitTexts(train=train, validation=validation, num_duplicates=num_duplicates, is_one_document=True)
    chosen = _validation_digests(texts, validation_fraction=validation_fraction)
    return SplitTexts(
        train=[text for text in texts if text.digest not in chosen],
        validation=[text for text in texts if text.digest in chosen],
        num_duplicates=num_duplicates,
        is_one_document=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedText:
    """A document and the side it is on."""

    text: Text
    is_validation: bool


class StreamedSplit:
    """Divides documents one at a time: those validate whose digest, read as a number in [0, 1), is below the share.

    Of a single document the end validates, as in `split_documents`. Keeps the digests, about 100 bytes a document, and
    no text but the first. To be gone through once; the counts are those of what has been gone through.
    """

    def __init__(self, documents: Iterable[Document], *, validation_fraction: float, max_bytes: int | None) -> None:
        self._documents = documents
        self._fraction = validation_fraction
        self._max_bytes = max_bytes
        self.num_documents = 0
        self.num_duplicates = 0
        self.least = 1.0
        """The smallest digest; a share above it would have had a document to validate."""

        self.is_one_document = False

    def __iter__(self) -> Iterator[StreamedText]:
        """Yield each document that was not there before, in the order of the source.

        Raises:
            DataError: the source cannot be read.
        """
        waiting: Text | None = None
        for text in self._unique():
            if self.num_documents == 1:
                waiting = text
                continue
            if waiting is not None:
                yield self._placed(waiting)
                waiting = None
            yield self._placed(text)
        if waiting is not None:
            self.is_one_document = True
            train, validation = _cut(waiting.text, validation_fraction=self._fraction)
            yield from (StreamedText(text=text, is_validation=False) for text in train)
            yield from (StreamedText(text=text, is_validation=True) for text in validation)

    def _unique(self) -> Iterator[Text]:
        seen: set[bytes] = set()
        for text in _measured(self._documents, max_bytes=self._max_bytes):
            if text.digest in seen:
                self.num_duplicates += 1
                continue
            seen.add(text.digest)
            self.num_documents += 1
            yield text

    def _placed(self, text: Text) -> StreamedText:
        place = int.from_bytes(text.digest[:8], "big") / 2**64
        self.least = min(self.least, place)
        return StreamedText(text=text, is_validation=place < self._fraction)


def _measured(documents: Iterable[Document], *, max_bytes: int | None) -> Iterator[Text]:
    left = max_bytes
    for document in documents:
        text = Text.of(document.text)
        if left is not None and text.num_bytes > left:
            text = Text.of(document.text.encode("utf-8")[:left].decode("utf-8", errors="ignore"))
            left = 0
        elif left is not None:
            left -= text.num_bytes
        if text.num_bytes:
            yield text
        if left == 0:
            return


def _validation_digests(texts: list[Text], *, validation_fraction: float) -> set[bytes]:
    if not texts:
        return set()
    target = wanted = validation_fraction * sum(text.num_bytes for text in texts)
    chosen: set[bytes] = set()
    for text in sorted(texts, key=lambda text: text.digest):
        # Filling the last tenth would draw small documents only.
        if wanted < 0.1 * target:
            break
        if text.num_bytes <= wanted:
            chosen.add(text.digest)
            wanted -= text.num_bytes
    return chosen or {min(texts, key=lambda text: (text.num_bytes, text.digest)).digest}


def _cut(text: str, *, validation_fraction: float) -> tuple[list[Text], list[Text]]:
    point = round(len(text) * (1 - validation_fraction))
    line_start = text.rfind("\n", 0, point) + 1
    # A text of very long lines is cut where it was asked, rather than far from there.
    if line_start > point - 0.5 * (len(text) - point):
        point = line_start
    return [Text.of(text[:point])], [Text.of(text[point:])]
