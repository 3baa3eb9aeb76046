import json

import pytest
from transformers import AutoTokenizer

from nas.export.tokenizer_files import write_tokenizer
from proxies.json_tokenizer import tokenizer_of
from proxies.tokenizers import ByteTokenizer

TEXTS = ["", "plain", "Größe ≠ 🙂\r\n\t tabs  and   blanks ", "\x00\x7f\u0085 control", "a<b>c"]

WORDS = {
    "version": "1.0",
    "added_tokens": [
        {"id": place, "content": word, "special": True, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False}
        for place, word in enumerate(("<s>", "<eos>"))
    ],
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
    },
    "model": {
        "type": "WordLevel",
        "vocab": {"<s>": 0, "<eos>": 1, "<unk>": 2, "plain": 3, "and": 4},
        "unk_token": "<unk>",
    },
}  # fmt: skip


@pytest.mark.parametrize(
    "tokenizer",
    [ByteTokenizer(), tokenizer_of(json.dumps(WORDS), name="words", end_of_document=1)],
    ids=["bytes", "words"],
)
def test_ids_in_transformers_are_ours_and_so_is_the_end_of_a_document(tokenizer, tmp_path):
    write_tokenizer(tmp_path, tokenizer)
    foreign = AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        ids = foreign(text)["input_ids"]
        assert ids == tokenizer.encode(text).tolist()
        if isinstance(tokenizer, ByteTokenizer):
            assert foreign.decode(ids) == text
    assert foreign.eos_token_id == foreign.pad_token_id == tokenizer.end_of_document
    assert len(foreign) == tokenizer.vocab_size
