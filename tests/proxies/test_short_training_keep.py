"""The model of a short training, for those who ask for it."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from operators.model import HybridLM
from proxies.data import Corpus, validation_batch
from proxies.rungs import Rungs
from proxies.short_training import short_training
from proxies.training import TrainingSettings
from proxies.validation import validate
from search_spaces import architecture_from_pattern

ARCHITECTURE = architecture_from_pattern("d f a f", hidden_size=64, vocab_size=257)
SETTINGS = TrainingSettings(steps=6, batch_size=2, sequence_tokens=64, validation_sequences=8, device="cpu")


def test_the_model_is_the_one_that_was_scored(repetition: Corpus) -> None:
    kept: list[HybridLM] = []
    result = short_training(ARCHITECTURE, corpus=repetition, settings=SETTINGS, seed=4, keep=kept.append)
    (model,) = kept
    held_out = validation_batch(repetition, num_sequences=8, sequence_tokens=64)
    sizes = repetition.bytes_per_token
    again = validate(model, held_out, bytes_per_token=sizes, batch_size=2, dtype="auto")
    assert again.loss == result.validation_loss


def _save(path: Path, model: HybridLM) -> None:
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)


@pytest.mark.slow
def test_of_several_processes_one_gives_the_model(repetition: Corpus, tmp_path: Path) -> None:
    for count in (1, 2):
        short_training(
            ARCHITECTURE,
            corpus=repetition,
            settings=replace(SETTINGS, num_processes=count),
            seed=4,
            keep=partial(_save, tmp_path / f"{count}.safetensors"),
        )
    alone, together = load_file(tmp_path / "1.safetensors"), load_file(tmp_path / "2.safetensors")
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("learning_rate", [1e9, 1e-3])
def test_a_training_that_did_not_finish_gives_none(repetition: Corpus, learning_rate: float) -> None:
    kept: list[HybridLM] = []
    result = short_training(
        ARCHITECTURE,
        corpus=repetition,
        settings=replace(SETTINGS, learning_rate=learning_rate, steps=20),
        seed=4,
        rungs=Rungs(shares=(0.5,), limits=(0.0,)),
        keep=kept.append,
    )
    assert result.status in ("diverged", "stopped")
    assert not kept
