"""Logits of an export reloaded in transformers' own classes, its cached generation, and what we import of it again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from nas.export.native.registry import NATIVE_EXPORTERS
from nas.importing.folder import read_folder
from nas.winners.weights import build
from operators.model import HybridLM
from search_spaces import Architecture

IN_TRANSFORMERS = ("nemotron-h", "granite", "bamba", "qwen3.5", "qwen3", "llama")
EXPORTERS = {exporter.name: exporter for exporter in NATIVE_EXPORTERS}
TOLERANCE = 1e-4


def reloaded(folder: Path) -> Any:
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    assert not type(model).__module__.startswith("transformers_modules")
    return model.eval()


@torch.no_grad()
def generated(theirs: Any, prompt: torch.Tensor, *, use_cache: bool) -> tuple[torch.Tensor, torch.Tensor]:
    found = theirs.generate(
        prompt,
        max_new_tokens=6,
        do_sample=False,
        use_cache=use_cache,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return found.sequences, torch.stack(found.logits, dim=1)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("format_name", IN_TRANSFORMERS)
def test_reloaded_generated_and_imported_it_is_the_model(
    tmp_path: Path,
    draw_expressible: Callable[[str, int], Architecture],
    random_model: Callable[[Architecture], HybridLM],
    relative_rms: Callable[[torch.Tensor, torch.Tensor], float],
    format_name: str,
    seed: int,
) -> None:
    exporter, architecture = EXPORTERS[format_name], draw_expressible(format_name, seed)
    assert exporter.obstacles(architecture) == ()
    model = random_model(architecture)
    exporter.write(model, tmp_path, tokenizer=None)
    tokens = torch.randint(0, architecture.vocab_size, (2, 41), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        expected = model(tokens)

    theirs = reloaded(tmp_path)
    with torch.no_grad():
        assert relative_rms(theirs(tokens).logits, expected) <= TOLERANCE

    sequences, logits = generated(theirs, tokens[:, :19], use_cache=True)
    uncached_sequences, uncached_logits = generated(theirs, tokens[:, :19], use_cache=False)
    assert torch.equal(sequences, uncached_sequences)
    assert relative_rms(logits, uncached_logits) <= TOLERANCE
    assert relative_rms(logits[:, 0], model(tokens[:, :19])[:, -1].detach()) <= TOLERANCE

    imported = read_folder(tmp_path)
    ours = build(imported.architecture, imported.weights, where=tmp_path)
    with torch.no_grad():
        assert relative_rms(ours(tokens), expected) <= TOLERANCE
    assert imported.architecture == exporter.emulation(architecture).architecture
    if not exporter.emulations(architecture):
        assert imported.architecture.fingerprint() == architecture.fingerprint()


@pytest.mark.parametrize("format_name", IN_TRANSFORMERS)
def test_the_drawn_architectures_cover_what_the_format_emulates(
    draw_expressible: Callable[[str, int], Architecture], format_name: str
) -> None:
    emulations = [EXPORTERS[format_name].emulations(draw_expressible(format_name, seed)) for seed in range(10)]
    assert any(emulations)
    assert not all(emulations)
