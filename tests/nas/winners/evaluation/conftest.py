"""Small models with drawn weights, and texts: what is evaluated here is the evaluation."""

import pytest
import torch

from nas.winners.weights import save_model
from operators.model import HybridLM
from proxies.tokenizers import ByteTokenizer
from search_spaces import architecture_from_pattern

TEXT = "the quick brown fox jumps over the lazy dog; "


@pytest.fixture(scope="session")
def model():
    """Every kind of mixer, and meta tokens, with logits far enough apart to tell."""
    architecture = architecture_from_pattern("d f m2 a w", hidden_size=64, vocab_size=257, num_meta_tokens=3)
    model = HybridLM(architecture, seed=1)
    with torch.no_grad():
        model.embedding.mul_(3)
    return model


@pytest.fixture(scope="session")
def checkpoint(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    save_model(folder, model, tokenizer=ByteTokenizer(), provenance={"origin": "random"})
    return folder


@pytest.fixture(scope="session")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT * 40)
    return path


@pytest.fixture(scope="session")
def one_by_one(model):
    """Nats of each token after the first, every one from a forward pass of its own over all tokens before it."""

    def nats(tokens):
        with torch.inference_mode():
            return [
                -float(model(torch.tensor([tokens[:end]]))[0, -1].double().log_softmax(-1)[tokens[end]])
                for end in range(1, len(tokens))
            ]

    return nats
