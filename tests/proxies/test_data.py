import dataclasses
import pickle
import platform
from pathlib import Path

import numpy as np
import pytest

from proxies.data import Corpus, load_corpus, training_batch, validation_batch
from proxies.errors import DataError
from proxies.sources import read_source
from proxies.tokenizers import ByteTokenizer


def load(
    uri: str, *, sequence_tokens: int = 16, validation_fraction: float = 0.05, max_bytes: int | None = None
) -> Corpus:
    return load_corpus(
        uri,
        tokenizer=ByteTokenizer(),
        sequence_tokens=sequence_tokens,
        validation_fraction=validation_fraction,
        max_bytes=max_bytes,
    )


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    for index in range(40):
        (tmp_path / f"{index}.txt").write_text(f"page {index}: " + "word " * (index + 10))
    return tmp_path


def test_the_standard_library_is_split_by_file(library: Corpus) -> None:
    end = library.tokenizer.end_of_document
    documents = {
        side: np.split(split.tokens, np.flatnonzero(split.tokens == end) + 1)[:-1]
        for side, split in (("train", library.train), ("validation", library.validation))
    }
    names = {document.text: document.name for document in read_source("stdlib")}
    files = {side: {names[library.tokenizer.decode(tokens)] for tokens in parts} for side, parts in documents.items()}
    assert not files["train"] & files["validation"]
    assert len(files["train"]) == library.train.num_documents
    assert len(files["validation"]) == library.validation.num_documents
    assert library.python_version == platform.python_version()


def test_counts_are_of_what_is_there(library: Corpus) -> None:
    for split in (library.train, library.validation):
        assert split.num_tokens == split.num_bytes + split.num_documents
        assert int((split.tokens == 256).sum()) == split.num_documents
    assert 0.04 < library.validation.num_bytes / (library.train.num_bytes + library.validation.num_bytes) <= 0.05


def test_the_hash_names_the_text_and_nothing_else(pages: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    first = load(f"file:{pages}")
    copy = tmp_path_factory.mktemp("copy")
    for path in pages.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert load(f"file:{copy}").sha256 == first.sha256
    assert first.sha256 == "a062642559fc95332288b4cebb0c9bd9a9d4bce3b4c9d1edb24e2ecbe5ad3317"
    (copy / "3.txt").write_text("page 3: another")
    assert load(f"file:{copy}").sha256 != first.sha256
    assert load(f"file:{pages}", validation_fraction=0.2).sha256 != first.sha256


def test_a_record_of_the_corpus_holds_hashes_and_sizes(pages: Path) -> None:
    corpus = load(f"file:{pages}")
    record = corpus.to_dict()
    assert record["sha256"] == corpus.sha256
    assert record["train"]["documents"] + record["validation"]["documents"] == 40
    assert record["tokenizer"] == {"name": "bytes", "vocab_size": 257}
    assert record["python_version"] is None


def test_a_corpus_survives_pickling_and_cannot_be_changed(pages: Path) -> None:
    corpus = pickle.loads(pickle.dumps(load(f"file:{pages}"), protocol=5))
    assert corpus.sha256 == load(f"file:{pages}").sha256
    with pytest.raises(dataclasses.FrozenInstanceError):
        corpus.uri = "other"
    with pytest.raises(ValueError, match="read-only"):
        load(f"file:{pages}").train.tokens[0] = 1


def test_pickling_can_share_the_tokens_without_a_copy(library: Corpus) -> None:
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(library, protocol=5, buffer_callback=buffers.append)
    assert len(data) < 10_000
    restored = pickle.loads(data, buffers=buffers)
    assert np.shares_memory(restored.train.tokens, library.train.tokens)


def test_a_byte_limit_bounds_the_corpus(library: Corpus) -> None:
    small = load("stdlib", max_bytes=200_000)
    assert small.train.num_bytes + small.validation.num_bytes == pytest.approx(200_000, abs=4)
    assert small.sha256 != library.sha256


def test_a_batch_is_a_function_of_seed_and_step(library: Corpus) -> None:
    def batch(step: int, seed: int) -> bytes:
        return training_batch(library, step=step, seed=seed, batch_size=3, sequence_tokens=32).tobytes()

    assert batch(5, 0) == batch(5, 0)
    assert len({batch(step, seed) for step in range(10) for seed in range(10)}) == 100


def test_training_sequences_are_pieces_of_the_train_split(pages: Path) -> None:
    corpus = load(f"file:{pages}")
    text = corpus.train.tokens.tobytes()
    batch_BT = training_batch(corpus, step=0, seed=0, batch_size=50, sequence_tokens=16)
    assert batch_BT.shape == (50, 17)
    assert batch_BT.dtype == np.int64
    assert all(row.astype(np.uint16).tobytes() in text for row in batch_BT)


def test_every_token_of_the_train_split_can_be_drawn(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join(chr(33 + index) for index in range(90)))
    corpus = load(f"file:{path}", sequence_tokens=4, validation_fraction=0.1)
    batch_BT = training_batch(corpus, step=0, seed=0, batch_size=2000, sequence_tokens=4)
    assert set(batch_BT.flatten().tolist()) == set(corpus.train.tokens.tolist())


def test_validation_covers_the_split_evenly_from_end_to_end(library: Corpus) -> None:
    batch_NT = validation_batch(library, num_sequences=50, sequence_tokens=256)
    assert batch_NT.shape == (50, 257)
    np.testing.assert_array_equal(batch_NT[0], library.validation.tokens[:257])
    np.testing.assert_array_equal(batch_NT[-1], library.validation.tokens[-257:])
    np.testing.assert_array_equal(batch_NT, validation_batch(library, num_sequences=50, sequence_tokens=256))


@pytest.mark.parametrize("num_tokens", [17, 18, 32, 33, 34, 100])
def test_validation_takes_what_fits_and_predicts_no_token_twice(num_tokens: int, tmp_path: Path) -> None:
    characters = "".join(chr(0x4E00 + index) for index in range(400))
    path = tmp_path / "a.txt"
    path.write_text(characters)
    corpus = load(f"file:{path}", sequence_tokens=16, validation_fraction=0.5)
    # Positions stand for tokens, so that a token predicted twice is seen.
    positions = np.arange(num_tokens, dtype=np.uint16)
    corpus = dataclasses.replace(corpus, validation=dataclasses.replace(corpus.validation, tokens=positions))
    batch_NT = validation_batch(corpus, num_sequences=1000, sequence_tokens=16)
    assert len(batch_NT) == (num_tokens - 1) // 16
    targets = batch_NT[:, 1:].flatten().tolist()
    assert len(set(targets)) == len(targets)


def test_text_shorter_than_a_sequence_names_both_numbers_and_the_remedy(pages: Path) -> None:
    with pytest.raises(
        DataError, match=r"need 20001; the train split of .* holds \d+ in 3\d document.* shorter sequences"
    ):
        load(f"file:{pages}", sequence_tokens=20000)
    with pytest.raises(
        DataError, match=r"need 401; the validation split of .* holds \d+ .* a larger validation_fraction"
    ):
        load(f"file:{pages}", sequence_tokens=400)
    assert load(f"file:{pages}", sequence_tokens=400, validation_fraction=0.3).validation.num_tokens > 400


def test_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match=r"every document of .* is empty"):
        load(f"file:{tmp_path}/a.txt")


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_for_validation_lies_between_none_and_all(fraction: float) -> None:
    with pytest.raises(DataError, match="validation_fraction must lie between 0 and 1"):
        load("stdlib", validation_fraction=fraction)


def test_sizes_are_positive() -> None:
    with pytest.raises(DataError, match="max_bytes must be at least 1; got 0"):
        load("stdlib", max_bytes=0)
    with pytest.raises(DataError, match="sequence_tokens must be at least 1; got -1"):
        load("stdlib", sequence_tokens=-1)
