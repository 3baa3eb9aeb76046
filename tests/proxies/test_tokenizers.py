import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proxies.tokenizers import ByteTokenizer, Tokenizer


@given(st.text())
def test_decoding_undoes_encoding(text: str) -> None:
    tokenizer = ByteTokenizer()
    tokens = tokenizer.encode(text)
    assert tokens.dtype == np.uint16
    assert tokenizer.decode(tokens) == text
    assert tokenizer.bytes_per_token[tokens].sum() == len(text.encode())


def test_the_end_of_a_document_is_a_token_that_no_text_holds_and_that_counts_no_bytes() -> None:
    tokenizer: Tokenizer = ByteTokenizer()
    assert tokenizer.end_of_document == 256 == tokenizer.vocab_size - 1
    assert tokenizer.bytes_per_token[256] == 0
    assert tokenizer.decode(np.array([104, 105, 256, 33])) == "hi!"


def test_half_a_character_is_shown_as_such() -> None:
    assert ByteTokenizer().decode(ByteTokenizer().encode("ü")[:1]) == "\ufffd"


def test_a_tokenizer_travels_between_processes() -> None:
    assert pickle.loads(pickle.dumps(ByteTokenizer())) == ByteTokenizer()
    assert ByteTokenizer().to_dict() == {"name": "bytes", "vocab_size": 257}
