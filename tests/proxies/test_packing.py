from dataclasses import replace

import pytest
import torch

from operators.model import HybridLM
from proxies.data import Corpus, load_corpus
from proxies.packing import ReadsApart, document_ids
from proxies.settings import TrainingSettings
from proxies.short_training import short_training
from proxies.tokenizers import ByteTokenizer
from search_spaces import architecture_from_pattern

END = ByteTokenizer.end_of_document
SETTINGS = TrainingSettings(steps=3, batch_size=2, sequence_tokens=48, validation_sequences=4, device="cpu")
MODEL = architecture_from_pattern("m2 f a d f", hidden_size=64, vocab_size=257)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Of documents much shorter than a sequence."""
    folder = tmp_path_factory.mktemp("text")
    for number in range(200):
        (folder / f"{number:03}.txt").write_text(f"{number} is {number * 7}.")
    return load_corpus(f"file:{folder}/*.txt", tokenizer=ByteTokenizer(), sequence_tokens=48)


def test_the_end_of_a_document_is_its_last_token() -> None:
    tokens_BT = torch.tensor([[5, END, 6, 7, END, END, 8], [5, 6, 7, 8, 9, 5, END]])
    assert document_ids(tokens_BT, END).tolist() == [[0, 0, 1, 1, 1, 2, 3], [0] * 7]


def test_a_packed_document_gives_the_logits_of_one_that_stands_alone() -> None:
    reader = ReadsApart(HybridLM(MODEL, seed=0), end_of_document=END)
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randint(0, 256, (1, num), generator=generator) for num in (7, 11))
    packed = torch.cat((first, torch.tensor([[END]]), second), dim=1)
    with torch.no_grad():
        apart, alone, across = reader(packed)[:, 8:], reader.model(second), reader.model(packed)[:, 8:]
    torch.testing.assert_close(apart, alone, atol=2e-4, rtol=1e-3)
    assert not torch.allclose(across, alone, atol=1e-2)


def test_training_that_keeps_documents_apart_is_another_one_and_says_the_same_twice(corpus: Corpus) -> None:
    across, apart, again = (
        short_training(MODEL, corpus=corpus, settings=settings, seed=0).validation_loss
        for settings in (SETTINGS, *[replace(SETTINGS, reset_at_documents=True)] * 2)
    )
    assert apart == again
    assert apart != across


def test_one_document_alone_is_read_as_ever() -> None:
    model = HybridLM(MODEL, seed=0)
    tokens_BT = torch.arange(20)[None]
    with torch.no_grad():
        expected = model(tokens_BT)
        torch.testing.assert_close(ReadsApart(model, end_of_document=END)(tokens_BT), expected, atol=2e-4, rtol=1e-3)
