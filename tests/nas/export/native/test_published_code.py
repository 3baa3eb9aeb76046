"""Formats whose engines run on GPUs only: their published code written out once more in plain torch, by its own names.

The decoder below reads nothing but a folder's config.json and safetensors. It follows the code that was published for
Nemotron-Flash, and flash-linear-attention's DeltaNet model; neither ran here.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from nas.errors import ExportError
from nas.export.native.fla import FlaExporter
from nas.export.native.nemotron_flash import NemotronFlashExporter
from nas.importing.folder import read_folder
from nas.winners.weights import build
from operators.model import HybridLM
from operators.weight_norm import WeightNormalization
from search_spaces import Architecture
from search_spaces.specs import AttentionSpec, DeltaNetSpec, FFNSpec, Mamba2Spec

Weights = Mapping[str, Tensor]
INNER_EPS = 1e-5


def rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def convolve(x_BTC: Tensor, weight_C1W: Tensor, bias_C: Tensor | None) -> Tensor:
    width = weight_C1W.shape[-1]
    y_BCT = F.conv1d(x_BTC.mT, weight_C1W, bias_C, padding=width - 1, groups=len(weight_C1W))
    return F.silu(y_BCT[..., : x_BTC.shape[1]]).mT


def linear_attention(x: Tensor, w: Weights, layer: str, *, heads: int, norm_eps: float) -> Tensor:
    streams = (
        convolve(x @ w[f"{layer}{name}_proj.weight"].mT, w[f"{layer}{name}_conv1d.weight"], None) for name in "qkv"
    )
    q, k, v = (stream.unflatten(-1, (heads, -1)) for stream in streams)
    q, k = (y * torch.rsqrt(y.square().sum(-1, keepdim=True) + 1e-6) for y in (q, k))
    beta = (x @ w[f"{layer}b_proj.weight"].mT).sigmoid()
    memory, outputs = x.new_zeros(x.shape[0], heads, q.shape[-1], v.shape[-1]), []
    for t in range(x.shape[1]):
        recalled = torch.einsum("bhk,bhkv->bhv", k[:, t], memory)
        memory = memory + torch.einsum("bhk,bhv->bhkv", k[:, t], beta[:, t, :, None] * (v[:, t] - recalled))
        outputs.append(torch.einsum("bhk,bhkv->bhv", q[:, t] * q.shape[-1] ** -0.5, memory))
    y = rms(torch.stack(outputs, 1), w[f"{layer}o_norm.weight"], norm_eps)
    if f"{layer}g_proj.weight" in w:
        y = y * F.silu(x @ w[f"{layer}g_proj.weight"].mT).unflatten(-1, (heads, -1))
    return y.flatten(2) @ w[f"{layer}o_proj.weight"].mT


def state_space(x: Tensor, w: Weights, layer: str, config: Mapping[str, Any]) -> Tensor:
    inner, state = config["mamba_expand"] * config["hidden_size"], config["mamba_d_state"]
    heads = inner // config["mamba2_headdim"]
    z, xbc, dt = (x @ w[f"{layer}in_proj.weight"].mT).split([inner, inner + 2 * state, heads], dim=-1)
    u, B, C = convolve(xbc, w[f"{layer}conv1d.weight"], w[f"{layer}conv1d.bias"]).split([inner, state, state], dim=-1)
    u = u.unflatten(-1, (heads, -1))
    step = F.softplus(dt + w[f"{layer}dt_bias"])
    carried, outputs = x.new_zeros(x.shape[0], heads, u.shape[-1], state), []
    for t in range(x.shape[1]):
        decay = torch.exp(-w[f"{layer}A_log"].exp() * step[:, t])
        carried = decay[..., None, None] * carried + torch.einsum(
            "bhp,bn->bhpn", step[:, t, :, None] * u[:, t], B[:, t]
        )
        outputs.append(torch.einsum("bhpn,bn->bhp", carried, C[:, t]) + w[f"{layer}D"][:, None] * u[:, t])
    y = torch.stack(outputs, 1).flatten(2) * F.silu(z)
    return rms(y, w[f"{layer}norm.weight"], INNER_EPS) @ w[f"{layer}out_proj.weight"].mT


def rotated(x_BHTK: Tensor, theta: float) -> Tensor:
    half = x_BHTK.shape[-1] // 2
    frequency = 1.0 / theta ** (torch.arange(half) / half)
    angle = torch.arange(x_BHTK.shape[-2])[:, None] * frequency
    first, second = x_BHTK.split(half, dim=-1)
    return torch.cat((first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()), dim=-1)


def softmax_attention(
    x: Tensor, w: Weights, layer: str, *, heads: int, kv_heads: int, theta: float | None, window: int | None = None
) -> Tensor:
    def heads_of(name: str, count: int) -> Tensor:
        y = F.linear(x, w[f"{layer}{name}_proj.weight"], w.get(f"{layer}{name}_proj.bias")).unflatten(-1, (count, -1))
        if f"{layer}{name}_norm.weight" in w:
            y = rms(y, w[f"{layer}{name}_norm.weight"], INNER_EPS)
        return y.transpose(1, 2)

    q, k, v = heads_of("q", heads), heads_of("k", kv_heads), heads_of("v", kv_heads)
    if theta is not None:
        q, k = rotated(q, theta), rotated(k, theta)
    k, v = (y.repeat_interleave(heads // kv_heads, dim=1) for y in (k, v))
    seen = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
    if window is not None:
        seen = seen.triu(1 - window)
    scores = (q @ k.mT * q.shape[-1] ** -0.5).masked_fill(~seen, -torch.inf)
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2) @ w[f"{layer}o_proj.weight"].mT


def swiglu(x: Tensor, w: Weights, layer: str) -> Tensor:
    up = F.silu(x @ w[f"{layer}gate_proj.weight"].mT) * (x @ w[f"{layer}up_proj.weight"].mT)
    return up @ w[f"{layer}down_proj.weight"].mT


def nemotron_flash_logits(config: Mapping[str, Any], weights: Weights, tokens: Tensor) -> Tensor:
    w = dict(weights)
    assert config["intermediate_size"] == 0
    heads = config["num_attention_heads"]
    if any(kind == "f" for kind in config["layer_types"]):
        size = int(config["ffn_expand_ratio"] * config["hidden_size"]) // 128 * 128
        assert {v.shape[0] for k, v in w.items() if k.endswith("up_proj.weight")} == {size}
    if config["kq_norm"] == "none":
        assert not any("q_norm" in name for name in w)
    x = F.embedding(tokens, w.pop("model.embed_tokens.weight"))
    meta = w.pop("model.memory_tokens", x.new_zeros(0, x.shape[-1]))
    assert len(meta) == config["num_memory_tokens"]
    x = torch.cat((meta.expand(len(x), -1, -1), x), 1)
    for index, kind in enumerate(config["layer_types"]):
        layer = f"model.layers.{index}."
        norm = "pre_ffn_layernorm" if kind == "f" else "input_layernorm"
        normed = rms(x, w[f"{layer}{norm}.weight"], config["rms_norm_eps"])
        match kind:
            case "deltanet":
                x = x + linear_attention(normed, w, f"{layer}gla.", heads=heads, norm_eps=INNER_EPS)
            case "m2":
                x = x + state_space(normed, w, f"{layer}mamba.", config)
            case "a":
                x = x + softmax_attention(
                    normed,
                    w,
                    f"{layer}self_attn.",
                    heads=heads,
                    kv_heads=config["num_key_value_heads"],
                    theta=config["rope_theta"] if config["rope"] else None,
                )
            case _:
                x = x + swiglu(normed, w, f"{layer}ffn.")
    x = rms(x, w["model.final_layernorm.weight"], config["rms_norm_eps"])[:, len(meta) :]
    head = weights["model.embed_tokens.weight"] if config["tie_word_embeddings"] else weights["lm_head.weight"]
    return x @ head.mT / head.norm(dim=1)


def fla_logits(config: Mapping[str, Any], w: Weights, tokens: Tensor) -> Tensor:
    x = F.embedding(tokens, w["model.embeddings.weight"])
    attends = config["attn"]
    for index in range(config["num_hidden_layers"]):
        layer, eps = f"model.layers.{index}.", config["norm_eps"]
        normed = rms(x, w[f"{layer}attn_norm.weight"], eps)
        if attends is not None and index in attends["layers"]:
            x = x + softmax_attention(
                normed,
                w,
                f"{layer}attn.",
                heads=attends["num_heads"],
                kv_heads=attends["num_kv_heads"],
                theta=attends["rope_theta"],
                window=attends["window_size"],
            )
        else:
            inner = int(config["hidden_size"] * config["expand_k"])
            assert w[f"{layer}attn.q_proj.weight"].shape[0] == inner
            assert (f"{layer}attn.g_proj.weight" in w) == config["use_gate"]
            x = x + linear_attention(normed, w, f"{layer}attn.", heads=config["num_heads"], norm_eps=eps)
        x = x + swiglu(rms(x, w[f"{layer}mlp_norm.weight"], eps), w, f"{layer}mlp.")
    head = "model.embeddings.weight" if config["tie_word_embeddings"] else "lm_head.weight"
    return rms(x, w["model.norm.weight"], config["norm_eps"]) @ w[head].mT


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    return json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")


@pytest.mark.parametrize("seed", range(10))
def test_nemotron_flash_as_published_gives_our_logits_and_is_read_again(
    tmp_path: Path,
    draw_expressible: Callable[[str, int], Architecture],
    random_model: Callable[[Architecture], HybridLM],
    relative_rms: Callable[[Tensor, Tensor], float],
    seed: int,
) -> None:
    exporter, architecture = NemotronFlashExporter(), draw_expressible("nemotron-flash", seed)
    assert exporter.obstacles(architecture) == ()
    model = random_model(architecture)
    WeightNormalization(model).apply_()
    tokens = torch.randint(0, architecture.vocab_size, (2, 23), generator=torch.Generator().manual_seed(seed))
    exporter.write(model, tmp_path, tokenizer=None)
    with torch.no_grad():
        expected = model(tokens)
        assert relative_rms(nemotron_flash_logits(*read(tmp_path), tokens), expected) <= 1e-4
        imported = read_folder(tmp_path)
        assert relative_rms(build(imported.architecture, imported.weights, where=tmp_path)(tokens), expected) <= 1e-4
    assert imported.architecture == exporter.emulation(architecture).architecture


@pytest.mark.parametrize("seed", range(10))
def test_fla_as_published_gives_our_logits(
    tmp_path: Path,
    draw_expressible: Callable[[str, int], Architecture],
    random_model: Callable[[Architecture], HybridLM],
    relative_rms: Callable[[Tensor, Tensor], float],
    seed: int,
) -> None:
    exporter, architecture = FlaExporter(), draw_expressible("fla", seed)
    assert exporter.obstacles(architecture) == ()
    model = random_model(architecture)
    tokens = torch.randint(0, architecture.vocab_size, (2, 23), generator=torch.Generator().manual_seed(seed))
    exporter.write(model, tmp_path, tokenizer=None)
    with torch.no_grad():
        assert relative_rms(fla_logits(*read(tmp_path), tokens), model(tokens)) <= 1e-4


FLASH = Architecture(
    hidden_size=32,
    operators=(
        DeltaNetSpec(num_heads=4, head_dim=8),
        FFNSpec(intermediate_size=128),
        Mamba2Spec(num_heads=8, head_dim=8, state_size=4),
        AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=8),
    ),
    vocab_size=50,
    num_meta_tokens=3,
    norm_eps=1e-5,
)


def test_a_head_of_rows_of_one_other_length_is_folded_into_norms_and_stream(
    tmp_path: Path, random_model: Callable[[Architecture], HybridLM], relative_rms: Callable[[Tensor, Tensor], float]
) -> None:
    model = random_model(FLASH)
    with torch.no_grad():
        model.embedding.mul_(0.3 / model.embedding.norm(dim=1, keepdim=True))
    tokens = torch.arange(20)[None]
    NemotronFlashExporter().write(model, tmp_path, tokenizer=None)
    config, weights = read(tmp_path)
    torch.testing.assert_close(weights["model.embed_tokens.weight"].norm(dim=1), torch.ones(50))
    assert config["rms_norm_eps"] == pytest.approx(1e-5 / 0.09)
    with torch.no_grad():
        assert relative_rms(nemotron_flash_logits(config, weights, tokens), model(tokens)) <= 1e-4
        imported = read_folder(tmp_path)
        ours = build(imported.architecture, imported.weights, where=tmp_path)
        assert relative_rms(ours(tokens), model(tokens)) <= 1e-4
    assert imported.architecture.norm_eps == 1e-5


def test_a_head_of_rows_of_several_lengths_is_refused_and_nothing_is_written(
    tmp_path: Path, random_model: Callable[[Architecture], HybridLM]
) -> None:
    with pytest.raises(ExportError, match=r"one length.*Train with weight normalization"):
        NemotronFlashExporter().write(random_model(FLASH), tmp_path, tokenizer=None)
    assert list(tmp_path.iterdir()) == []


def test_a_published_head_of_rows_of_several_lengths_is_divided_as_the_published_code_does(
    tmp_path: Path, random_model: Callable[[Architecture], HybridLM], relative_rms: Callable[[Tensor, Tensor], float]
) -> None:
    from safetensors.torch import save_file

    model = random_model(FLASH)
    WeightNormalization(model).apply_()
    NemotronFlashExporter().write(model, tmp_path, tokenizer=None)
    config, weights = read(tmp_path)
    weights["model.embed_tokens.weight"] *= torch.linspace(0.5, 2, 50)[:, None]
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-6}))
    tokens = torch.arange(20)[None]
    imported = read_folder(tmp_path)
    with torch.no_grad():
        expected = nemotron_flash_logits(config | {"rms_norm_eps": 1e-6}, weights, tokens)
        ours = build(imported.architecture, imported.weights, where=tmp_path)(tokens)
    assert relative_rms(ours, expected) <= 1e-4
    assert not imported.architecture.tie_embeddings


def test_the_configuration_says_what_the_published_one_says(
    tmp_path: Path, random_model: Callable[[Architecture], HybridLM]
) -> None:
    model = random_model(FLASH)
    WeightNormalization(model).apply_()
    NemotronFlashExporter().write(model, tmp_path, tokenizer=None)
    config, weights = read(tmp_path)
    expected = {
        "layer_types": ["deltanet", "f", "m2", "a"],
        "intermediate_size": 0,
        "ffn_expand_ratio": 4,
        "kq_norm": "none",
        "num_memory_tokens": 3,
        "mamba_expand": 2,
        "mamba2_headdim": 8,
        "mamba_d_state": 4,
        "mamba_d_conv": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope": False,
        "tie_word_embeddings": True,
        "model_type": "nemotron_flash",
    }
    assert {name: config[name] for name in expected} == expected
    assert {name: tuple(tensor.shape) for name, tensor in weights.items() if "layers.0" in name} == {
        "model.layers.0.input_layernorm.weight": (32,),
        "model.layers.0.gla.q_proj.weight": (32, 32),
        "model.layers.0.gla.k_proj.weight": (32, 32),
        "model.layers.0.gla.v_proj.weight": (32, 32),
        "model.layers.0.gla.b_proj.weight": (4, 32),
        "model.layers.0.gla.q_conv1d.weight": (32, 1, 4),
        "model.layers.0.gla.k_conv1d.weight": (32, 1, 4),
        "model.layers.0.gla.v_conv1d.weight": (32, 1, 4),
        "model.layers.0.gla.o_norm.weight": (8,),
        "model.layers.0.gla.o_proj.weight": (32, 32),
    }
    assert weights["model.memory_tokens"].shape == (3, 32)
    assert weights["model.final_layernorm.weight"].shape == (32,)
    assert "lm_head.weight" not in weights
