"""Models of transformers' own classes, saved by it, become ours with the same logits; or one error says why."""

import json
import random
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
from nas.export.native.qwen3_5 import Qwen35Exporter
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
    named = {name.replace("model.", "model.language_model.", 1): tensor for name, tensor in weights.items()}
    save_file(named | {"model.visual.patch_embed.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3_5", "text_config": config}))
    assert_same_logits(tmp_path, model)


def random_qwen3_5(seed: int) -> Qwen3_5TextConfig:
    rng = random.Random(seed)
    groups, keys = rng.choice([1, 2, 3]), rng.choice([1, 2, 3])
    layers = rng.randint(2, 5)
    said = {"layer_types": [*rng.choices(["linear_attention", "full_attention"], k=layers - 1), "full_attention"]}
    return Qwen3_5TextConfig(
        **WIDTH | {"intermediate_size": rng.choice([40, 56])},
        num_hidden_layers=layers,
        **said if rng.random() < 0.6 else {"full_attention_interval": rng.choice([1, 2])},
        num_attention_heads=groups * rng.choice([1, 2, 4]),
        num_key_value_heads=groups,
        head_dim=rng.choice([8, 16, 24]),
        rope_parameters={
            "rope_type": "default",
            "rope_theta": rng.choice([1e4, 1e7]),
            "partial_rotary_factor": rng.choice([0.25, 0.5, 1.0]),
            "mrope_interleaved": True,
            "mrope_section": [1, 1, 1],
        },
        linear_num_key_heads=keys,
        linear_key_head_dim=rng.choice([4, 6]),
        linear_num_value_heads=keys * rng.choice([1, 2]),
        linear_value_head_dim=rng.choice([6, 8]),
        linear_conv_kernel_dim=rng.choice([2, 4]),
        tie_word_embeddings=rng.random() < 0.5,
        rms_norm_eps=rng.choice([1e-6, 1e-5]),
    )


@pytest.mark.parametrize("seed", range(12))
def test_qwen3_5_comes_in_with_its_gates_and_leaves_as_it_came(tmp_path: Path, seed: int) -> None:
    theirs = published(tmp_path / "published", Qwen3_5ForCausalLM, random_qwen3_5(seed), seed=seed)
    assert_same_logits(tmp_path / "published", theirs)
    imported = read_folder(tmp_path / "published")
    attends = [spec for spec in imported.architecture.operators if isinstance(spec, AttentionSpec)]
    assert attends
    assert all(spec.output_gate for spec in attends)

    (tmp_path / "back").mkdir()
    exporter = Qwen35Exporter()
    assert exporter.obstacles(imported.architecture) == exporter.emulations(imported.architecture) == ()
    exporter.write(build(imported.architecture, imported.weights, where=tmp_path), tmp_path / "back", tokenizer=None)
    was, came = (load_file(tmp_path / name / "model.safetensors") for name in ("published", "back"))
    assert was.keys() == came.keys()
    for name, weight in was.items():
        # Norms are stored less 1, which rounds.
        torch.testing.assert_close(came[name], weight, rtol=0, atol=1e-6 if weight.ndim == 1 else 0, msg=name)
    again, report = Qwen3_5ForCausalLM.from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not any(report.values()), report
    assert_same_logits(tmp_path / "published", again.eval())


def test_attention_whose_gates_are_zero_comes_in_without_gates_beside_attention_that_has_them(tmp_path: Path) -> None:
    published(tmp_path, Qwen3_5ForCausalLM, QWEN3_5)
    rewritten(tmp_path, layer_types=["full_attention", "full_attention"])
    weights = load_file(tmp_path / "model.safetensors")
    attention = {name: tensor.clone() for name, tensor in weights.items() if ".1.self_attn." in name}
    weights |= {name.replace(".1.", ".0."): tensor for name, tensor in attention.items()}
    weights = {name: tensor for name, tensor in weights.items() if "linear_attn" not in name}
    weights["model.layers.0.self_attn.q_proj.weight"].view(4, 2, 8, 32)[:, 1].zero_()
    save_file(weights, tmp_path / "model.safetensors")
    theirs = Qwen3_5ForCausalLM.from_pretrained(tmp_path).eval()
    gates = [s.output_gate for s in read_folder(tmp_path).architecture.operators if isinstance(s, AttentionSpec)]
    assert gates == [False, True]
    assert_same_logits(tmp_path, theirs)


def test_of_qwen3_5_what_no_operator_here_computes_is_named(tmp_path: Path) -> None:
    published(tmp_path, Qwen3_5ForCausalLM, QWEN3_5)
    for changes, message in (
        ({"attn_output_gate": False}, "only attn_output_gate True can be imported; got False"),
        ({"attention_bias": True}, "only attention_bias False can be imported; got True"),
        ({"num_attention_heads": 2}, r"q_proj\.weight must have 32 rows, queries and gates; got 64"),
        ({"model_type": "qwen3_5_moe"}, "'qwen3_5_moe' cannot be imported"),
    ):
        original = (tmp_path / "config.json").read_text()
        rewritten(tmp_path, **changes)
        with pytest.raises(ModelImportError, match=message):
            read_folder(tmp_path)
        (tmp_path / "config.json").write_text(original)


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
