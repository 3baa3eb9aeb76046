"""Published architectures at full size: the format they were published in holds them, and its configuration says so."""

from collections.abc import Mapping
from typing import Any

import pytest

from nas.export.native.registry import NATIVE_EXPORTERS
from nas.importing.config import Config
from nas.importing.families import FAMILIES
from search_spaces.references import load_reference

EXPORTERS = {exporter.name: exporter for exporter in NATIVE_EXPORTERS}
PUBLISHED_AS = {
    "nemotron-h-4b": "nemotron-h",
    "nemotron-h-8b": "nemotron-h",
    "nemotron-h-47b": "nemotron-h",
    "nemotron-h-56b": "nemotron-h",
    "nemotron-nano-9b-v2": "nemotron-h",
    "nemotron-nano-12b-v2": "nemotron-h",
    "qwen3-0.6b": "qwen3",
    "qwen3-1.7b": "qwen3",
    "llama-3.2-1b": "llama",
    "llama-3.2-3b": "llama",
    "smollm2-1.7b": "llama",
}


def read_back(config: Mapping[str, Any]) -> Any:
    return FAMILIES[config["model_type"]].architecture(
        Config(fields={**config, "bos_token_id": None}, model_type=config["model_type"])
    )


@pytest.mark.parametrize("name", PUBLISHED_AS)
def test_the_format_of_a_published_model_holds_it_without_emulation(name: str) -> None:
    exporter, architecture = EXPORTERS[PUBLISHED_AS[name]], load_reference(name)
    assert exporter.obstacles(architecture) == ()
    assert exporter.emulations(architecture) == ()
    assert read_back(exporter.config(architecture)) == architecture


def test_the_pattern_of_nemotron_h_8b_is_the_published_one() -> None:
    config = EXPORTERS["nemotron-h"].config(load_reference("nemotron-h-8b"))
    assert config["hybrid_override_pattern"] == "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-"
    expected = {
        "num_hidden_layers": 52,
        "hidden_size": 4096,
        "intermediate_size": 21504,
        "mamba_num_heads": 128,
        "mamba_head_dim": 64,
        "ssm_state_size": 128,
        "n_groups": 8,
        "conv_kernel": 4,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 131072,
        "mlp_hidden_act": "relu2",
    }
    assert {field: config[field] for field in expected} == expected
    assert not [field for field in config if "expert" in field or "moe" in field]


@pytest.mark.parametrize("name", ["nemotron-flash-1b", "nemotron-flash-3b"])
def test_only_its_epsilon_keeps_nemotron_flash_from_its_own_format(name: str) -> None:
    exporter, architecture = EXPORTERS["nemotron-flash"], load_reference(name)
    assert [obstacle.remedy for obstacle in exporter.obstacles(architecture)] == [
        "set norm_eps of the architecture to 1e-05 before it is trained"
    ]
    config = exporter.config(architecture)
    assert read_back(config) == architecture
    assert (config["ffn_expand_ratio"], config["mamba_expand"], config["num_memory_tokens"]) == (3, 2, 256)
    assert config["layer_types"][:4] == ["deltanet", "f", "m2", "f"]
