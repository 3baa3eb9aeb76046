from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from proxies.data import Corpus, load_corpus
from proxies.tokenizers import ByteTokenizer


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def library() -> Corpus:
    """The standard library's source, as users get it by default."""
    return load_corpus("stdlib", tokenizer=ByteTokenizer(), sequence_tokens=256)


@pytest.fixture(scope="session")
def repetition(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A text that is wholly predictable after its first few bytes."""
    path: Path = tmp_path_factory.mktemp("repetition") / "repetition.txt"
    path.write_text("abcdefgh" * 4000)
    return load_corpus(f"file:{path}", tokenizer=ByteTokenizer(), sequence_tokens=64)


class Bigram(nn.Module):
    """The least model that learns something: the next token from the last one."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.embedding = nn.Embedding(257, 16, _weight=torch.randn(257, 16, generator=generator))
        self.head = nn.Linear(16, 257)
        nn.init.normal_(self.head.weight, std=0.02, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        logits_BTV: torch.Tensor = self.head(self.embedding(tokens_BT))
        return logits_BTV


@pytest.fixture
def bigram() -> nn.Module:
    return Bigram()
