"""Models of ours beside what transformers makes of their exported folders."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nas.export.hf.exporter import HuggingFaceExporter
from nas.export.hf.merging import modelling_code
from operators.model import HybridLM
from proxies.tokenizers import ByteTokenizer
from search_spaces import Architecture


@dataclass(frozen=True)
class Pair:
    ours: HybridLM
    foreign: Any
    folder: Path


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The exported file as a module, as transformers imports it, without the copy that transformers keeps."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    file = tmp_path_factory.mktemp("code") / "modeling_hybridnas.py"
    file.write_text(modelling_code(), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("modeling_hybridnas", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["modeling_hybridnas"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["modeling_hybridnas"]


@pytest.fixture(scope="session")
def pair_of(
    code: ModuleType, model_of: Callable[..., HybridLM], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Architecture], Pair]:
    def make(architecture: Architecture) -> Pair:
        model = model_of(architecture)
        folder = tmp_path_factory.mktemp("hf")
        HuggingFaceExporter().write(model, folder, tokenizer=ByteTokenizer())
        return Pair(ours=model, foreign=code.HybridNASForCausalLM.from_pretrained(folder).eval(), folder=folder)

    return make
