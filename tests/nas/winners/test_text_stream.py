import json

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.winners.text_stream import TextStream
from proxies.json_tokenizer import tokenizer_of
from proxies.tokenizer_training import train_tokenizer
from proxies.tokenizers import ByteTokenizer

TEXT = "  Two  blanks, naïve café — 你好世界 👩‍👩‍👧 done.\n\tAnd on\n"


def byte_level(folder):
    (folder / "text.txt").write_text("the quick brown fox; naïve café 你好 " * 50)
    return train_tokenizer(f"file:{folder}/text.txt", vocab_size=300, name="bpe")


def with_marked_blanks():
    """As of SentencePiece: blanks are letters, one is put in front, and unknown characters are bytes."""
    pieces = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"Twoblanksdenc,.", "▁T", "▁b"]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    model = tokenizers.models.BPE(
        vocab=vocabulary, merges=[("▁", "T"), ("▁", "b")], unk_token="<unk>", byte_fallback=True
    )
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    decoders = tokenizers.decoders
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["</s>"])
    return tokenizer_of(json.dumps(json.loads(tokenizer.to_str())), name="pieces", end_of_document=1)


@pytest.fixture(scope="module", params=["bytes", "byte_level", "with_marked_blanks"])
def tokenizer(request, tmp_path_factory):
    match request.param:
        case "bytes":
            return ByteTokenizer()
        case "byte_level":
            return byte_level(tmp_path_factory.mktemp("bpe"))
        case _:
            return with_marked_blanks()


def pieces_of(stream, tokens):
    return [*(stream.add(int(token)) for token in tokens), stream.end()]


def test_the_pieces_are_the_text_with_no_character_cut(tokenizer):
    tokens = tokenizer.encode(TEXT)
    pieces = pieces_of(TextStream(tokenizer), tokens)
    assert "".join(pieces) == tokenizer.decode(tokens)
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)
    assert sum(bool(piece) for piece in pieces) > len(TEXT) / 3


def test_text_after_a_context_begins_as_it_stands_there(tokenizer):
    context = tokenizer.encode("Two b").tolist()
    tokens = tokenizer.encode("Two b blanks").tolist()
    # A blank in front belongs to the text, and is not lost as that before a first word is.
    assert tokens[: len(context)] == context
    assert "".join(pieces_of(TextStream(tokenizer, context=context), tokens[len(context) :])) == " blanks"


def test_tokens_without_text_neither_show_nor_eat_blanks(tokenizer):
    words = [tokenizer.encode("Two b").tolist(), tokenizer.encode("Two b Two").tolist()]
    tokens = [*words[0], tokenizer.end_of_document, *words[1][len(words[0]) :]]
    assert "".join(pieces_of(TextStream(tokenizer), tokens)) == "Two b Two"


def test_a_character_that_is_never_finished_comes_out_at_the_end(tokenizer):
    tokens = tokenizer.encode("b世")[:-1]
    pieces = pieces_of(TextStream(tokenizer), tokens)
    assert pieces[-1].strip("\N{REPLACEMENT CHARACTER}") == ""
    assert pieces[-1]


def test_bytes_that_are_no_text_do_not_hold_up_what_follows():
    stream = TextStream(ByteTokenizer())
    pieces = [stream.add(0xFF) for _ in range(40)]
    assert any(pieces)
    assert "".join([*pieces, stream.add(ord("a"))]).endswith("a")


@given(st.text(max_size=20), st.text(max_size=20))
@settings(max_examples=40, deadline=None)
def test_any_text_comes_out_whole(first, second):
    tokenizer = ByteTokenizer()
    stream = TextStream(tokenizer, context=tokenizer.encode(first).tolist())
    tokens = tokenizer.encode(second)
    assert "".join(pieces_of(stream, tokens)) == tokenizer.decode(np.asarray(tokens))
