import hashlib
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxies.data import Corpus, load_corpus, training_batch, validation_batch
from proxies.errors import DataError
from proxies.json_tokenizer import JsonTokenizer
from proxies.ranks import Ranks
from proxies.settings import TrainingSettings
from proxies.shard_writing import prepare_shards
from proxies.shards import open_shards, verify_shards
from proxies.short_training import short_training
from proxies.tokenizer_training import train_tokenizer
from proxies.tokenizers import ByteTokenizer, Tokenizer
from search_spaces import architecture_from_pattern

FRACTION = 0.2


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "pages.jsonl"
    texts = [
        f"page {index}, which says ü: " + " ".join(f"w{997 * index + word}" for word in range(index % 23 + 3))
        for index in range(300)
    ]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in [*texts, texts[5]]))
    return path


@pytest.fixture(scope="module")
def bpe(pages: Path) -> JsonTokenizer:
    return train_tokenizer(f"file:{pages}", vocab_size=400, name="pages")


@pytest.fixture
def prepare(pages: Path, tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "shards", *, tokenizer: Tokenizer | None = None, shard_tokens: int = 4000) -> Path:
        folder = tmp_path / name
        prepare_shards(
            f"file:{pages}",
            tokenizer=tokenizer or ByteTokenizer(),
            folder=folder,
            validation_fraction=FRACTION,
            shard_tokens=shard_tokens,
        )
        return folder

    return make


def opened(folder: Path, *, tokenizer: Tokenizer | None = None) -> Corpus:
    return load_corpus(f"tokens:{folder}", tokenizer=tokenizer, sequence_tokens=16)


def all_tokens(corpus: Corpus, side: str) -> np.ndarray:
    tokens = getattr(corpus, side).tokens
    return tokens.windows(np.array([0]), length=tokens.size)[0]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_every_document_is_there_once_on_the_side_its_hash_says(
    kind: str, pages: Path, bpe: JsonTokenizer, prepare: Callable[..., Path]
) -> None:
    corpus = opened(prepare(tokenizer=bpe if kind == "bpe" else None))
    texts = {json.loads(line)["text"] for line in pages.read_text().splitlines()}
    found = {}
    for side in ("train", "validation"):
        tokens = all_tokens(corpus, side)
        ends = np.flatnonzero(tokens == corpus.tokenizer.end_of_document) + 1
        documents = [corpus.tokenizer.decode(part) for part in np.split(tokens, ends)[:-1]]
        split = getattr(corpus, side)
        assert split.num_documents == len(documents) == len(set(documents))
        assert split.num_bytes == split.token_bytes == sum(len(document.encode()) for document in documents)
        found[side] = set(documents)
    assert found["train"] | found["validation"] == texts
    assert corpus.num_duplicates == 1
    for text in texts:
        place = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
        assert (text in found["validation"]) == (place < FRACTION)


def test_several_files_hold_what_one_would_and_batches_are_the_same(prepare: Callable[..., Path]) -> None:
    many, one = opened(prepare("many", shard_tokens=100)), opened(prepare("one"))
    assert len(list((many.train.tokens.folder).glob("train-*.npy"))) > 50
    for side in ("train", "validation"):
        np.testing.assert_array_equal(all_tokens(many, side), all_tokens(one, side))
    for sampling in ("random", "epochs"):
        batches = [
            training_batch(corpus, step=7, seed=1, batch_size=32, sequence_tokens=150, sampling=sampling)
            for corpus in (many, one)
        ]
        np.testing.assert_array_equal(*batches)
    held_out = [validation_batch(corpus, num_sequences=9, sequence_tokens=150) for corpus in (many, one)]
    np.testing.assert_array_equal(*held_out)
    assert many.sha256 == one.sha256


@pytest.fixture(scope="module")
def windowed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, np.ndarray]:
    folder = tmp_path_factory.mktemp("windows")
    (folder / "a.txt").write_text("".join(chr(33 + index % 90) for index in range(1100)))
    prepare_shards(f"file:{folder}/a.txt", tokenizer=ByteTokenizer(), folder=folder / "shards", shard_tokens=37)
    files = sorted((folder / "shards").glob("train-*.npy"))
    return opened(folder / "shards"), np.concatenate([np.load(file) for file in files])


@settings(deadline=None)
@given(starts=st.lists(st.integers(0, 900), max_size=5), length=st.integers(1, 100))
def test_a_window_is_that_part_of_all_files(
    starts: list[int], length: int, windowed: tuple[Corpus, np.ndarray]
) -> None:
    corpus, whole = windowed
    expected = [whole[start : start + length] for start in starts]
    np.testing.assert_array_equal(
        corpus.train.tokens.windows(np.array(starts, dtype=np.int64), length=length),
        np.array(expected).reshape(len(starts), length),
    )


def test_batches_of_text_in_memory_are_drawn_as_they_ever_were(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join(chr(33 + index * index % 90) for index in range(3000)))
    corpus = load_corpus(f"file:{path}", tokenizer=ByteTokenizer(), sequence_tokens=16)
    batch_BT = training_batch(corpus, step=3, seed=5, batch_size=8, sequence_tokens=16)
    rng = np.random.default_rng((5, 3))
    starts = rng.integers(0, corpus.train.num_tokens - 16, size=8)
    assert batch_BT.tolist() == [corpus.train.tokens[start : start + 17].tolist() for start in starts]


@pytest.mark.parametrize("is_sharded", [False, True])
def test_an_epoch_sees_each_sequence_once_also_from_its_middle_on(
    is_sharded: bool, pages: Path, prepare: Callable[..., Path]
) -> None:
    corpus = (
        opened(prepare(shard_tokens=500))
        if is_sharded
        else load_corpus(f"file:{pages}", tokenizer=ByteTokenizer(), sequence_tokens=16)
    )
    num = (corpus.train.num_tokens - 1) // 64
    steps = range(num // 5)

    def rows(step: int) -> list[bytes]:
        batch_BT = training_batch(corpus, step=step, seed=2, batch_size=5, sequence_tokens=64, sampling="epochs")
        return [row.tobytes() for row in batch_BT]

    seen = [row for step in steps for row in rows(step)]
    tokens = all_tokens(corpus, "train") if is_sharded else corpus.train.tokens
    every = [np.asarray(tokens[64 * index : 64 * index + 65], dtype=np.int64).tobytes() for index in range(num)]
    assert len(seen) == len(steps) * 5
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(every)
    resumed = [row for step in steps[len(steps) // 2 :] for row in rows(step)]
    assert resumed == seen[len(steps) // 2 * 5 :]


@pytest.mark.parametrize("sampling", ["random", "epochs"])
def test_processes_share_a_batch_between_them(sampling: str, prepare: Callable[..., Path]) -> None:
    corpus = opened(prepare(shard_tokens=500))
    batch_BT = training_batch(corpus, step=1, seed=0, batch_size=8, sequence_tokens=16, sampling=sampling)
    shares = [Ranks(rank=rank, count=4).share(batch_BT) for rank in range(4)]
    together = np.stack(shares, axis=1).reshape(batch_BT.shape)
    np.testing.assert_array_equal(together, batch_BT)


def test_more_sequences_a_batch_than_an_epoch_has_are_refused(prepare: Callable[..., Path]) -> None:
    corpus = opened(prepare())
    with pytest.raises(DataError, match=r"got 5000 sequences a batch, and the train split of .* has \d+ of 16 tokens"):
        training_batch(corpus, step=0, seed=0, batch_size=5000, sequence_tokens=16, sampling="epochs")


def test_what_travels_is_where_the_tokens_are(prepare: Callable[..., Path]) -> None:
    corpus = opened(prepare())
    training_batch(corpus, step=0, seed=0, batch_size=2, sequence_tokens=16)
    data = pickle.dumps(corpus, protocol=5)
    assert len(data) < 5000 < corpus.train.num_tokens
    arrived = pickle.loads(data)
    for step in range(3):
        np.testing.assert_array_equal(
            training_batch(arrived, step=step, seed=0, batch_size=2, sequence_tokens=16),
            training_batch(corpus, step=step, seed=0, batch_size=2, sequence_tokens=16),
        )
    assert arrived.to_dict() == corpus.to_dict()


def test_processes_that_train_together_map_the_files_and_score_as_one(prepare: Callable[..., Path]) -> None:
    corpus = opened(prepare(shard_tokens=500))
    training = TrainingSettings(
        steps=4, batch_size=4, sequence_tokens=16, validation_sequences=3, sampling="epochs", device="cpu"
    )
    architecture = architecture_from_pattern("a f", hidden_size=64, vocab_size=257)
    losses = [
        short_training(
            architecture, corpus=corpus, settings=replace(training, num_processes=count), seed=0
        ).validation_loss
        for count in (1, 4)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_files_are_mapped_and_not_read(prepare: Callable[..., Path]) -> None:
    corpus = opened(prepare(shard_tokens=500))
    training_batch(corpus, step=0, seed=0, batch_size=2, sequence_tokens=16)
    maps = corpus.train.tokens._opened()
    assert all(isinstance(each, np.memmap) and each.mode == "r" for each in maps)


def test_a_shard_cut_short_is_refused_when_it_is_opened(prepare: Callable[..., Path]) -> None:
    folder = prepare()
    corpus = opened(folder)
    path = folder / "train-00001.npy"
    path.write_bytes(path.read_bytes()[:-2])
    for use in (
        lambda: opened(folder),
        lambda: training_batch(pickle.loads(pickle.dumps(corpus)), step=0, seed=0, batch_size=1, sequence_tokens=16),
        lambda: verify_shards(folder),
    ):
        with pytest.raises(DataError, match=r"train-00001.npy has 8126 bytes, it had 8128\. Restore it"):
            use()
    path.unlink()
    with pytest.raises(DataError, match=r"train-00001.npy \(No such file"):
        opened(folder)


def test_shards_prepared_anew_under_a_training_are_noticed(prepare: Callable[..., Path]) -> None:
    folder = prepare()
    data = pickle.dumps(opened(folder))
    for path in folder.iterdir():
        path.unlink()
    prepare(shard_tokens=777)
    with pytest.raises(DataError, match="are others than when the corpus was opened"):
        training_batch(pickle.loads(data), step=0, seed=0, batch_size=1, sequence_tokens=16)


def test_verifying_finds_a_changed_bit(prepare: Callable[..., Path]) -> None:
    folder = prepare()
    assert verify_shards(folder) == len(list(folder.glob("*.npy")))
    path = folder / "validation-00000.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    opened(folder)
    with pytest.raises(DataError, match=r"validation-00000\.npy has sha256"):
        verify_shards(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no manifest of this version"),
        ("[]", "schema_version must be 1; got None"),
        ('{"schema_version": 2}', "schema_version must be 1; got 2"),
        ('{"schema_version": 1}', "train must list its shards"),
    ],
)
def test_a_manifest_that_is_none_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=words):
        open_shards(tmp_path)


@pytest.mark.parametrize("tokens", [-5, 0, 7])
def test_a_manifest_whose_files_do_not_add_up_is_refused_when_it_is_opened(
    tokens: int, prepare: Callable[..., Path]
) -> None:
    folder = prepare()
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content["train"]["tokens"] = tokens
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=f"files of train do not add up to its {tokens} tokens\\. Prepare"):
        open_shards(folder)


def test_a_folder_without_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has none to read .* make it with: nas data prepare"):
        opened(tmp_path / "nowhere")
    with pytest.raises(DataError, match="Name the folder"):
        load_corpus("tokens:", sequence_tokens=16)


def test_another_tokenizer_than_made_the_shards_is_refused(bpe: JsonTokenizer, prepare: Callable[..., Path]) -> None:
    folder = prepare(tokenizer=bpe)
    assert opened(folder).tokenizer == bpe
    renamed = JsonTokenizer(name="other", definition=bpe.definition, end_of_document=bpe.end_of_document)
    assert opened(folder, tokenizer=renamed).train.num_tokens == opened(folder).train.num_tokens
    with pytest.raises(DataError, match=r"was made with 'pages' \(sha256 .*\); got 'bytes'"):
        opened(folder, tokenizer=ByteTokenizer())
    with pytest.raises(DataError, match=r"was made with 'bytes'; got 'pages'"):
        opened(prepare("bytes"), tokenizer=bpe)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(DataError, match="The tokenizer of the shards"):
        opened(folder)


def test_a_limit_of_bytes_is_for_text(prepare: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="max_bytes bounds text"):
        load_corpus(f"tokens:{prepare()}", sequence_tokens=16, max_bytes=100)


KILLED = """
import os, signal, sys
from pathlib import Path
from proxies.shard_writing import prepare_shards
from proxies.tokenizers import ByteTokenizer
uri, folder, at = sys.argv[1:]
def report(num_documents, num_bytes):
    if num_documents == int(at):
        os.kill(os.getpid(), signal.SIGKILL)
prepare_shards(uri, tokenizer=ByteTokenizer(), folder=Path(folder), validation_fraction=0.2, shard_tokens=4000,
               report=report)
"""


@pytest.mark.parametrize("num_documents", [1, 90, 210, 300])
def test_a_killed_preparation_goes_on_and_leaves_what_an_unbroken_one_does(
    num_documents: int, pages: Path, tmp_path: Path, prepare: Callable[..., Path]
) -> None:
    folder = tmp_path / "killed"
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, f"file:{pages}", str(folder), str(num_documents)],
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert ended.returncode == -9
    assert not (folder / "manifest.json").exists()
    with pytest.raises(DataError, match=r"has none to read"):
        opened(folder)
    kept = {path: path.stat().st_ino for path in folder.glob("*.npy")}
    assert bool(kept) == (num_documents > 50)
    prepare("killed")
    assert {path: path.stat().st_ino for path in kept} == kept
    assert contents(folder) == contents(prepare("whole"))


def test_a_text_changed_since_the_kill_is_refused(pages: Path, tmp_path: Path) -> None:
    text = tmp_path / "pages.jsonl"
    lines = pages.read_text().splitlines(keepends=True)
    text.write_text("".join(lines))
    folder = tmp_path / "killed"
    subprocess.run([sys.executable, "-c", KILLED, f"file:{text}", str(folder), "250"], cwd=Path(__file__).parents[2])
    for changed in (lines[1:], lines[:10]):
        text.write_text("".join(changed))
        with pytest.raises(DataError, match="it has changed since those in"):
            prepare_shards(
                f"file:{text}",
                tokenizer=ByteTokenizer(),
                folder=folder,
                validation_fraction=FRACTION,
                shard_tokens=4000,
            )


def test_what_is_prepared_is_not_prepared_again_and_another_request_is_refused(
    pages: Path, bpe: JsonTokenizer, prepare: Callable[..., Path]
) -> None:
    folder = prepare()
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    prepare()
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    with pytest.raises(DataError, match=r"begun with shard_tokens 4000; got 50\. Name another folder"):
        prepare(shard_tokens=50)
    with pytest.raises(DataError, match="begun with tokenizer"):
        prepare(tokenizer=bpe)
    (folder.parent / "mine").mkdir()
    (folder.parent / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="holds other files"):
        prepare("mine")


@pytest.mark.parametrize("num_processes", [1, 3])
def test_the_same_request_gives_the_same_files_however_many_tokenize(
    num_processes: int, pages: Path, bpe: JsonTokenizer, tmp_path: Path, prepare: Callable[..., Path]
) -> None:
    prepare_shards(
        f"file:{pages}",
        tokenizer=bpe,
        folder=tmp_path / "again",
        validation_fraction=FRACTION,
        shard_tokens=4000,
        num_processes=num_processes,
    )
    assert contents(tmp_path / "again") == contents(prepare(tokenizer=bpe))


def test_processes_that_tokenize_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("w") as file:
        for index in range(900):
            file.write(json.dumps({"text": f"{index} " * 2000}) + "\n")
    script = tmp_path / "prepare.py"
    script.write_text(
        "import multiprocessing, os, signal, sys\n"
        "from pathlib import Path\n"
        "from proxies.shard_writing import prepare_shards\n"
        "from proxies.tokenizers import ByteTokenizer\n"
        "def report(num_documents, num_bytes):\n"
        "    if num_documents == 900:\n"
        "        print(*(child.pid for child in multiprocessing.active_children()), flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "if __name__ == '__main__':\n"
        "    prepare_shards(sys.argv[1], tokenizer=ByteTokenizer(), folder=Path(sys.argv[2]), num_processes=2,\n"
        "                   report=report)\n"
    )
    ended = subprocess.run(
        [sys.executable, script, f"file:{path}", tmp_path / "shards"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == -9
    children = [int(pid) for pid in ended.stdout.split()]
    assert len(children) == 2
    until = time.monotonic() + 30
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in children):
        assert time.monotonic() < until, "they live on"
        time.sleep(0.05)


def test_two_preparations_of_one_folder_do_not_mix(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"line {index}\n" for index in range(500)))

    def make(report: Callable[[int, int], None] | None) -> None:
        prepare_shards(f"file:{tmp_path}/a.txt", tokenizer=ByteTokenizer(), folder=tmp_path / "shards", report=report)

    def meanwhile(num_documents: int, num_bytes: int) -> None:
        with pytest.raises(DataError, match="Another process prepares"):
            make(None)

    make(meanwhile)
    assert verify_shards(tmp_path / "shards") == 2


def test_the_end_of_a_single_document_validates(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join(f"line {index}\n" for index in range(500)))
    corpus = opened(
        prepare_shards(f"file:{path}", tokenizer=ByteTokenizer(), folder=tmp_path / "shards", shard_tokens=1000).folder
    )
    assert corpus.is_one_document
    assert corpus.sha256 == load_corpus(f"file:{path}", tokenizer=ByteTokenizer(), sequence_tokens=16).sha256


def test_an_empty_side_names_the_share_that_would_fill_it(tmp_path: Path) -> None:
    for index in range(4):
        (tmp_path / f"{index}.txt").write_text(f"text {index} " * 20)

    def make(fraction: float) -> Path:
        return prepare_shards(
            f"file:{tmp_path}", tokenizer=ByteTokenizer(), folder=tmp_path / "shards", validation_fraction=fraction
        ).folder

    with pytest.raises(DataError, match=r"none of the 4 of .* is on that of validation") as caught:
        make(0.001)
    assert not (tmp_path / "shards").exists()
    share = float(str(caught.value).split("above ")[1].rstrip("."))
    with pytest.raises(DataError, match="is on that of train"):
        make(0.999)
    assert opened(make(share + 1e-4)).validation.num_documents == 1


def test_a_request_that_failed_before_its_first_file_does_not_stand_in_the_way(
    bpe: JsonTokenizer, tmp_path: Path, prepare: Callable[..., Path]
) -> None:
    with pytest.raises(DataError, match="There is no file"):
        prepare_shards(f"file:{tmp_path}/typo.txt", tokenizer=bpe, folder=tmp_path / "shards")
    assert contents(prepare("shards")) == contents(prepare("whole"))


def test_text_without_any_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match=r"every document of .* is empty"):
        prepare_shards(f"file:{tmp_path}/a.txt", tokenizer=ByteTokenizer(), folder=tmp_path / "shards")


def test_a_byte_that_is_no_text_ends_the_preparation_without_a_manifest(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "good"}\n{"text": "b\xffd"}\n')
    with pytest.raises(DataError, match="0xff at byte offset"):
        prepare_shards(f"file:{path}", tokenizer=ByteTokenizer(), folder=tmp_path / "shards")
    assert not (tmp_path / "shards" / "manifest.json").exists()


def test_a_text_larger_than_what_is_held_of_it_is_prepared(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("w") as file:
        for index in range(4000):
            file.write(json.dumps({"text": f"{index} " * 500}) + "\n")
    code = (
        "import sys; from pathlib import Path; from proxies.shard_writing import prepare_shards; "
        "from proxies.tokenizers import ByteTokenizer; import tracemalloc; tracemalloc.start(); "
        "prepare_shards(sys.argv[1], tokenizer=ByteTokenizer(), folder=Path(sys.argv[2]), shard_tokens=2**18); "
        "print(tracemalloc.get_traced_memory()[1])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, f"file:{path}", str(tmp_path / "shards")],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        text=True,
    )
    assert path.stat().st_size > 9_000_000
    assert int(ended.stdout) < 4_000_000


@pytest.mark.parametrize(("name", "value"), [("shard_tokens", 0), ("max_bytes", 0), ("num_processes", 0)])
def test_sizes_are_positive(name: str, value: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be at least 1; got 0"):
        prepare_shards("stdlib", tokenizer=ByteTokenizer(), folder=tmp_path / "x", **{name: value})
    with pytest.raises(DataError, match="validation_fraction must lie between 0 and 1"):
        prepare_shards("stdlib", tokenizer=ByteTokenizer(), folder=tmp_path / "x", validation_fraction=1.0)
