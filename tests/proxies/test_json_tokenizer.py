import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from proxies.data import load_corpus
from proxies.errors import DataError
from proxies.json_tokenizer import JsonTokenizer, read_tokenizer
from proxies.sources import read_source
from proxies.tokenizer_training import save_tokenizer, train_tokenizer
from proxies.tokenizers import ByteTokenizer, Tokenizer, absolute_name, load_tokenizer
from proxies.validation import validate

TEXT = "The quick brown fox, naïve as ever, jumps over 12 lazy dogs – 你好.\n"


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "a.jsonl"
    lines = (json.dumps({"text": f"{TEXT * 3} number {index} of many"}) for index in range(60))
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def bpe(text: Path) -> JsonTokenizer:
    return train_tokenizer(f"file:{text}", vocab_size=350, name="small")


def saved(folder: Path, model: Any, *, special: tuple[str, ...] = ("<|endoftext|>",), **parts: Any) -> Path:
    tokenizer = tokenizers.Tokenizer(model)
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.add_special_tokens(list(special))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


@given(st.text())
def test_a_byte_level_bpe_keeps_every_text_and_counts_its_bytes(bpe: JsonTokenizer, text: str) -> None:
    tokens = bpe.encode(text)
    assert tokens.dtype == np.uint16
    assert bpe.decode(tokens) == text
    assert bpe.bytes_per_token[tokens].sum() == len(text.encode())


def test_text_that_spells_the_end_of_a_document_does_not_end_one(bpe: JsonTokenizer) -> None:
    tokens = bpe.encode("a<|endoftext|>b")
    assert bpe.end_of_document not in tokens
    assert bpe.decode(tokens) == "a<|endoftext|>b"
    assert bpe.bytes_per_token[bpe.end_of_document] == 0
    assert bpe.decode(np.array([bpe.end_of_document])) == ""


def test_merges_shorten_the_text_they_were_learnt_from(bpe: JsonTokenizer) -> None:
    assert bpe.vocab_size == 350
    assert len(bpe.encode(TEXT)) < 0.3 * len(TEXT.encode())


def test_the_same_text_gives_the_same_tokenizer(text: Path, bpe: JsonTokenizer) -> None:
    assert train_tokenizer(f"file:{text}", vocab_size=350, name="small") == bpe
    assert train_tokenizer(f"file:{text}", vocab_size=300, name="small").sha256 != bpe.sha256


def test_what_validates_teaches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        "\n".join(json.dumps({"text": f"common {index} " + "zq" * 9 * (index == 7)}) for index in range(20))
    )
    with_all = train_tokenizer(f"file:{path}", vocab_size=320, name="x", validation_fraction=1e-9)
    assert "zq" in json.loads(with_all.definition)["model"]["vocab"]
    # Document 7 validates at this share, as its digest says.
    without = train_tokenizer(f"file:{path}", vocab_size=320, name="x", validation_fraction=0.95)
    assert "zq" not in json.loads(without.definition)["model"]["vocab"]


def test_a_vocabulary_holds_at_least_every_byte(text: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 257 tokens; got 256"):
        train_tokenizer(f"file:{text}", vocab_size=256, name="x")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match="A tokenizer needs text"):
        train_tokenizer(f"file:{tmp_path}/a.txt", vocab_size=300, name="x")


def test_a_tokenizer_is_found_by_file_and_by_folder(bpe: JsonTokenizer, tmp_path: Path) -> None:
    save_tokenizer(bpe, tmp_path / "tokenizer.json")
    for name in (tmp_path, tmp_path / "tokenizer.json"):
        found = load_tokenizer(str(name))
        assert found.to_dict() == bpe.to_dict() | {"name": f"{tmp_path.name}/tokenizer.json"}
    assert pickle.loads(pickle.dumps(found)) == found
    assert load_tokenizer("bytes") == ByteTokenizer()


def test_a_name_is_made_absolute_where_it_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_name("bytes") == "bytes"
    assert absolute_name("hf:gpt2") == "hf:gpt2"
    assert absolute_name("a/tokenizer.json?end=<s>") == f"{tmp_path}/a/tokenizer.json?end=<s>"


def test_a_file_that_is_no_tokenizer_is_refused(bpe: JsonTokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(DataError, match=r"'bytes', the path of a tokenizer\.json or 'hf:NAME'; there is no file"):
        load_tokenizer("byte")
    with pytest.raises(DataError, match="Name it"):
        load_tokenizer("hf:")
    for content, words in (("{", "must be a JSON file"), ("[]", "must hold a JSON object"), ("{}", "no definition")):
        path.write_text(content)
        with pytest.raises(DataError, match=words):
            load_tokenizer(str(path))
    with pytest.raises(DataError, match="Cannot write"):
        save_tokenizer(bpe, tmp_path / "nowhere" / "tokenizer.json")


def test_a_tokenizer_of_the_hub_that_cannot_be_had_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"'nobody/nothing' cannot be had from the Hugging Face hub or its local cache"):
        load_tokenizer("hf:nobody/nothing")
    with pytest.raises(DataError, match=r"cannot be had"):
        load_tokenizer("hf:not a name")


def test_a_tokenizer_of_the_hub_comes_from_the_local_cache(
    bpe: JsonTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "models--someone--something"
    snapshot = repository / "snapshots" / "0123456789012345678901234567890123456789"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(snapshot.name)
    save_tokenizer(bpe, snapshot / "tokenizer.json")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    found = load_tokenizer("hf:someone/something")
    assert found.to_dict() == bpe.to_dict() | {"name": "someone/something"}


def test_the_end_of_a_document_is_a_usual_one_the_configured_one_or_the_one_asked_for(tmp_path: Path) -> None:
    model = tokenizers.models.BPE({"a": 0}, [])
    path = saved(tmp_path, model, special=("<|turn|>", "<stop>", "</s>"))
    assert read_tokenizer(str(path)).end_of_document == 3
    assert read_tokenizer(f"{path}?end=<stop>").end_of_document == 2
    with pytest.raises(DataError, match=r"'<end>' is none\. Special tokens: </s>, <stop>, <\|turn\|>"):
        read_tokenizer(f"{path}?end=<end>")
    path = saved(tmp_path, model, special=("<|turn|>", "<stop>"))
    with pytest.raises(DataError, match=r"none of them is known to end a document.*\?end=TOKEN"):
        read_tokenizer(str(path))
    for configured in ("<stop>", {"content": "<stop>"}):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": configured}))
        assert read_tokenizer(str(path)).end_of_document == 2


def test_a_definition_that_cuts_and_pads_does_neither(bpe: JsonTokenizer, tmp_path: Path) -> None:
    tokenizer = tokenizers.Tokenizer.from_str(bpe.definition)
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=50)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert read_tokenizer(str(tmp_path)).encode(TEXT).tolist() == bpe.encode(TEXT).tolist()


def test_pieces_with_marked_spaces_and_single_bytes_are_counted(tmp_path: Path) -> None:
    vocabulary = {"<unk>": 0, "▁": 1, "a": 2, "▁a": 3, "é": 4, **{f"<0x{byte:02X}>": 5 + byte for byte in range(256)}}
    model = tokenizers.models.BPE(vocabulary, [("▁", "a")], unk_token="<unk>", byte_fallback=True)
    path = saved(
        tmp_path,
        model,
        pre_tokenizer=tokenizers.pre_tokenizers.Metaspace(prepend_scheme="never"),
        decoder=tokenizers.decoders.Sequence(
            [tokenizers.decoders.Replace("▁", " "), tokenizers.decoders.ByteFallback(), tokenizers.decoders.Fuse()]
        ),
    )
    tokenizer = read_tokenizer(str(path))
    for text in ("a a a", "aé a", "a 你"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert tokenizer.bytes_per_token[tokenizer.encode(text)].sum() == len(text.encode())


def test_where_a_tokenizer_changes_text_a_corpus_counts_what_the_text_really_holds(tmp_path: Path) -> None:
    words = {"[UNK]": 0, "one": 1, "two": 2, "##s": 3}
    path = saved(
        tmp_path,
        tokenizers.models.WordPiece(words, unk_token="[UNK]", continuing_subword_prefix="##"),
        normalizer=tokenizers.normalizers.Lowercase(),
        pre_tokenizer=tokenizers.pre_tokenizers.Whitespace(),
    )
    tokenizer = read_tokenizer(str(path))
    assert tokenizer.bytes_per_token.tolist() == [1, 3, 3, 1, 0]
    (tmp_path / "a.txt").write_text("ONE   twos unknown\n" * 400)
    corpus = load_corpus(f"file:{tmp_path}/a.txt", tokenizer=tokenizer, sequence_tokens=16)
    tokens = corpus.validation.tokens
    assert corpus.validation.token_bytes < corpus.validation.num_bytes
    assert corpus.bytes_per_token[tokens].sum() == pytest.approx(corpus.validation.num_bytes)


def test_a_large_vocabulary_takes_32_bits(tmp_path: Path) -> None:
    vocabulary = {f"w{index}": index for index in range(70_000)}
    path = saved(tmp_path, tokenizers.models.WordLevel(vocabulary, unk_token="w0"))
    tokens = read_tokenizer(str(path)).encode("w69999")
    assert tokens.dtype == np.uint32
    assert tokens.tolist() == [69_999]


@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_a_model_that_knows_nothing_spends_the_bits_of_a_token_on_its_bytes(
    kind: str, bpe: JsonTokenizer, text: Path
) -> None:
    torch = pytest.importorskip("torch")
    tokenizer: Tokenizer = bpe if kind == "bpe" else ByteTokenizer()
    corpus = load_corpus(f"file:{text}", tokenizer=tokenizer, sequence_tokens=16, validation_fraction=0.2)

    class Uniform(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, tokens_BT: Any) -> Any:
            return torch.zeros(*tokens_BT.shape, tokenizer.vocab_size)

    stream = corpus.validation.tokens
    found = validate(
        Uniform(),
        np.asarray(stream, dtype=np.int64)[None],
        bytes_per_token=corpus.bytes_per_token,
        batch_size=1,
        dtype="float32",
    )
    assert found.perplexity == pytest.approx(tokenizer.vocab_size)
    # All tokens but the first, which nothing predicts, and the ends of documents.
    is_text = stream[1:] != tokenizer.end_of_document
    num_bytes = corpus.validation.num_bytes - tokenizer.bytes_per_token[stream[0]]
    assert found.bits_per_byte == pytest.approx(is_text.sum() * np.log2(tokenizer.vocab_size) / num_bytes)


def test_bits_per_byte_of_byte_and_bpe_models_are_of_the_same_bytes(bpe: JsonTokenizer, text: Path) -> None:
    corpora = [
        load_corpus(f"file:{text}", tokenizer=tokenizer, sequence_tokens=16) for tokenizer in (ByteTokenizer(), bpe)
    ]
    assert len({corpus.sha256 for corpus in corpora}) == 1
    for corpus in corpora:
        assert corpus.bytes_per_token[corpus.validation.tokens].sum() == corpus.validation.num_bytes


def test_the_source_of_this_python_survives_a_tokenizer_learnt_from_it(bpe: JsonTokenizer) -> None:
    for document, _ in zip(read_source("stdlib"), range(20), strict=False):
        assert bpe.decode(bpe.encode(document.text)) == document.text
