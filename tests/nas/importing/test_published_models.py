"""Models of transformers' own classes, saved by it, become ours with the same logits; or one error says why."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BambaConfig,
    BambaForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    GraniteMoeHybridConfig,
    GraniteMoeHybridForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    NemotronHConfig,
    NemotronHForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3_5ForCausalLM,
    Qwen3_5TextConfig,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from nas.errors import ModelImportError
from nas.importing.config import Config
from nas.importing.families import FAMILIES
from nas.importing.folder import read_folder
from nas.winners.weights import build
from search_spaces.specs import AttentionSpec

WIDTH: dict[str, Any] = {"hidden_size": 32, "vocab_size": 50, "intermediate_size": 40, "max_position_embeddings": 64}
HEADS: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2}
MAMBA: dict[str, Any] = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 6, "mamba_expand": 2}
LLAMA_3 = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
MULTIPLIERS = {
    "embedding_multiplier": 12.0,
    "residual_multiplier": 0.22,
    "attention_multiplier": 0.3,
    "logits_scaling": 6.0,
}
QWEN3_5 = Qwen3_5TextConfig(
    **WIDTH,
    **HEADS,
    num_hidden_layers=2,
    layer_types=["linear_attention", "full_attention"],
    head_dim=8,
    linear_num_key_heads=2,
    linear_key_head_dim=6,
    linear_num_value_heads=4,
    linear_value_head_dim=8,
)

PUBLISHED: dict[str, tuple[type[Any], Any]] = {
    "llama, scaled and tied": (
        LlamaForCausalLM,
        LlamaConfig(
            **WIDTH, **HEADS, num_hidden_layers=2, head_dim=12, rope_parameters=LLAMA_3, tie_word_embeddings=True
        ),
    ),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**WIDTH, **HEADS, num_hidden_layers=2)),
    "qwen3, two of three layers with a window": (
        Qwen3ForCausalLM,
        Qwen3Config(
            **WIDTH,
            **HEADS,
            num_hidden_layers=3,
            head_dim=10,
            use_sliding_window=True,
            sliding_window=7,
            max_window_layers=1,
        ),
    ),
    "granite 3": (
        GraniteForCausalLM,
        GraniteConfig(**WIDTH, **HEADS, **MULTIPLIERS, num_hidden_layers=2, tie_word_embeddings=True),
    ),
    "granite 4, tied": (
        GraniteMoeHybridForCausalLM,
        GraniteMoeHybridConfig(
            **WIDTH,
            **HEADS,
            **MAMBA,
            **MULTIPLIERS,
            num_hidden_layers=3,
            layer_types=["mamba", "attention", "mamba"],
            mamba_n_groups=2,
            num_local_experts=0,
            shared_intermediate_size=40,
            tie_word_embeddings=True,
        ),
    ),
    "granite 4, rotary": (
        GraniteMoeHybridForCausalLM,
        GraniteMoeHybridConfig(
            **WIDTH,
            **HEADS,
            **MAMBA,
            **MULTIPLIERS,
            num_hidden_layers=2,
            layer_types=["attention", "mamba"],
            position_embedding_type="rope",
            num_local_experts=0,
            shared_intermediate_size=36,
        ),
    ),
    "bamba": (
        BambaForCausalLM,
        BambaConfig(**WIDTH, **HEADS, **MAMBA, num_hidden_layers=3, attn_layer_indices=[1], pad_token_id=None),
    ),
    "nemotron-h": (
        NemotronHForCausalLM,
        NemotronHConfig(
            **WIDTH,
            **HEADS,
            head_dim=10,
            layers_block_type=["linear_attention", "mlp", "full_attention", "linear_attention"],
            mamba_num_heads=6,
            mamba_head_dim=4,
            n_groups=2,
            ssm_state_size=5,
            time_step_min=1e-30,
            time_step_floor=1e-30,
        ),
    ),
}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def published(folder: Path, model_class: type[Any], config: Any, *, seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    model = model_class(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "o_proj.bias" not in name:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    model.save_pretrained(folder, **options)
    return model


def assert_same_logits(folder: Path, theirs: Any) -> None:
    imported = read_folder(folder)
    tokens = torch.randint(0, 50, (2, 30), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(tokens, use_cache=False).logits
        found = build(imported.architecture, imported.weights, where=folder)(tokens)
    assert ((found - expected).norm() / expected.norm()).item() <= 1e-4


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_gives_its_logits(tmp_path: Path, name: str) -> None:
    assert_same_logits(tmp_path, published(tmp_path, *PUBLISHED[name]))


def test_multipliers_are_folded_in_the_dtype_asked_for(tmp_path: Path) -> None:
    published(tmp_path, *PUBLISHED["granite 3"])
    (tmp_path / "half").mkdir()
    halved = {name: weight.bfloat16() for name, weight in load_file(tmp_path / "model.safetensors").items()}
    save_file(halved, tmp_path / "half" / "model.safetensors")
    (tmp_path / "half" / "config.json").write_bytes((tmp_path / "config.json").read_bytes())
    rounded, exact = (read_folder(tmp_path / "half", dtype=dtype).weights for dtype in (None, torch.float32))
    assert (rounded["embedding"].dtype, exact["embedding"].dtype) == (torch.bfloat16, torch.float32)
    name = "layers.0.operator.output.weight"
    expected = halved["model.layers.0.self_attn.o_proj.weight"].double() * 0.22
    error, error_rounded = ((found[name].double() - expected).norm() / expected.norm() for found in (exact, rounded))
    assert error < 1e-7 < 1e-4 < error_rounded < 1e-2


def test_weights_in_numbered_parts_are_read(tmp_path: Path) -> None:
    model = published(tmp_path, *PUBLISHED["qwen2"], max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert_same_logits(tmp_path, model)


def rewritten(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_older_words_of_a_configuration_mean_the_same(tmp_path: Path) -> None:
    published(tmp_path, *PUBLISHED["llama, scaled and tied"])
    today = read_folder(tmp_path).architecture
    older = {"rope_theta": 5e5, "rope_scaling": {k: v for k, v in LLAMA_3.items() if k != "rope_theta"}}
    rewritten(tmp_path, rope_parameters=None, **older)
    assert read_folder(tmp_path).architecture == today


def test_nvidias_names_and_pattern_are_read(tmp_path: Path) -> None:
    model = published(tmp_path, *PUBLISHED["nemotron-h"])
    weights = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    renamed = {name.replace("model.", "backbone.", 1): tensor for name, tensor in weights.items()}
    save_file(renamed | {"mtp.fc.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    rewritten(tmp_path, hybrid_override_pattern="M-*M", layers_block_type=None)
    assert_same_logits(tmp_path, model)


def test_the_text_model_of_one_that_also_sees_is_read(tmp_path: Path) -> None:
    model = published(tmp_path, Qwen3_5ForCausalLM, QWEN3_5)
    weights = load_file(tmp_path / "model.safetensors")
    gates = weights["model.layers.1.self_attn.q_proj.weight"].view(4, 2, 8, 32)[:, 1]
    gates.zero_()
    model.load_state_dict(weights, strict=False)
    named = {name.replace("model.", "model.language_model.", 1): tensor for name, tensor in weights.items()}
    save_file(named | {"model.visual.patch_embed.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3_5", "text_config": config}))
    assert_same_logits(tmp_path, model)


def test_an_output_gate_that_is_not_zero_is_refused(tmp_path: Path) -> None:
    published(tmp_path, Qwen3_5ForCausalLM, QWEN3_5)
    with pytest.raises(ModelImportError, match=r"output gate; model\.layers\.1\.self_attn\.q_proj\.weight has one"):
        read_folder(tmp_path)


def test_windows_are_where_the_configuration_says(tmp_path: Path) -> None:
    published(tmp_path, *PUBLISHED["qwen3, two of three layers with a window"])
    windows = [s.window for s in read_folder(tmp_path).architecture.operators if isinstance(s, AttentionSpec)]
    assert windows == [None, 7, 7]


Spoil = Callable[[Path], None]


def without_a_tensor(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    weights["model.layers.0.extra"] = torch.zeros(1)
    save_file(weights, folder / "model.safetensors")


REFUSED: dict[str, tuple[Spoil, str]] = {
    "unknown type": (lambda f: rewritten(f, model_type="lama"), r"'lama' cannot be imported. Did you mean 'llama'"),
    "no type": (lambda f: rewritten(f, model_type=None), "must say the model_type"),
    "no configuration": (lambda f: (f / "config.json").unlink(), "hf download NAME"),
    "yarn": (
        lambda f: rewritten(f, rope_parameters={"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}),
        r"only rope_type default or llama3 of rope_parameters can be imported; got 'yarn'",
    ),
    "biased FFN": (lambda f: rewritten(f, mlp_bias=True), "only mlp_bias False can be imported; got True"),
    "another activation": (lambda f: rewritten(f, hidden_act="gelu"), "only hidden_act 'silu' or 'swish'.*'gelu'"),
    "no number": (lambda f: rewritten(f, hidden_size="wide"), "hidden_size must be a whole number; got 'wide'"),
    "heads that do not divide": (lambda f: rewritten(f, num_key_value_heads=3), "num_heads must be a multiple"),
    "another width": (
        lambda f: rewritten(f, intermediate_size=41),
        r"mlp.gate_proj.weight must have shape \[41, 32\]; got \[40, 32\]",
    ),
    "missing and left over": (
        without_a_tensor,
        "model.layers.1.mlp.up_proj.weight is missing; model.layers.0.extra has no place",
    ),
    "torn weights": (lambda f: (f / "model.safetensors").write_bytes(b"torn"), "weights in .* cannot be read"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "weights in .* cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_named(tmp_path: Path, case: str) -> None:
    spoil, message = REFUSED[case]
    published(tmp_path, *PUBLISHED["llama, scaled and tied"])
    spoil(tmp_path)
    with pytest.raises(ModelImportError, match=message):
        read_folder(tmp_path)


def test_experts_are_named(tmp_path: Path) -> None:
    published(tmp_path / "g", *PUBLISHED["granite 4, tied"])
    rewritten(tmp_path / "g", num_local_experts=62)
    with pytest.raises(ModelImportError, match="only num_local_experts 0 can be imported; got 62"):
        read_folder(tmp_path / "g")
    published(tmp_path / "n", *PUBLISHED["nemotron-h"])
    rewritten(tmp_path / "n", layers_block_type=["linear_attention", "moe"])
    with pytest.raises(ModelImportError, match="hybrid_override_pattern has E"):
        read_folder(tmp_path / "n")


def test_a_bias_on_the_output_projection_is_named(tmp_path: Path) -> None:
    config = LlamaConfig(**WIDTH, **HEADS, num_hidden_layers=1, attention_bias=True)
    model = published(tmp_path, LlamaForCausalLM, config)
    assert_same_logits(tmp_path, model)
    weights = load_file(tmp_path / "model.safetensors")
    weights["model.layers.0.self_attn.o_proj.bias"] += 1
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ModelImportError, match=r"self_attn\.o_proj\.bias is not zero"):
        read_folder(tmp_path)


def test_a_rotation_stretched_for_longer_texts_is_one_of_a_larger_base() -> None:
    fields = {
        "model_type": "nemotron_flash",
        "hidden_size": 32,
        "vocab_size": 50,
        "layer_types": ["a"],
        "intermediate_size": 0,
        "kq_norm": "none",
        "num_attention_heads": 4,
        "rope": True,
        "rope_type": "ntk",
        "max_position_embeddings": 4096,
        "orig_max_position_embeddings": 2048,
    }
    config = Config(fields=fields, model_type="nemotron_flash")
    (attends,) = FAMILIES["nemotron_flash"].architecture(config).operators
    assert isinstance(attends, AttentionSpec)
    assert attends.rope_theta == pytest.approx(10000 * 3 ** (8 / 6))
    with pytest.raises(ModelImportError, match="only rope_type None or 'default' or 'ntk'"):
        FAMILIES["nemotron_flash"].architecture(Config(fields=fields | {"rope_type": "yarn"}, model_type="n"))


def test_every_family_that_is_promised_is_known() -> None:
    assert {"nemotron_h", "nemotron_flash", "granitemoehybrid", "bamba", "qwen3_5", "qwen3", "llama"} <= set(FAMILIES)
