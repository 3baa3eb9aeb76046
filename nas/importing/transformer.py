"""Llama, Qwen2 and Qwen3: attention with rotary embedding, and SwiGLU."""

from nas.importing.config import Config
from nas.importing.rope import read_rope
from search_spaces import Architecture
from search_spaces.specs import AttentionSpec, FFNSpec, OperatorSpec


def llama_architecture(config: Config) -> Architecture:
    """Return the architecture of a Llama."""
    config.require("mlp_bias", False, default=False)
    bias = config.flag("attention_bias", default=False)
    return _architecture(config, windows=_no_windows(config), qk_norm=False, bias=bias)


def qwen2_architecture(config: Config) -> Architecture:
    """Return the architecture of a Qwen2 or Qwen2.5, which have biases on q, k and v."""
    return _architecture(config, windows=_windows(config), qk_norm=False, bias=True)


def qwen3_architecture(config: Config) -> Architecture:
    """Return the architecture of a Qwen3."""
    config.require("attention_bias", False, default=False)
    return _architecture(config, windows=_windows(config), qk_norm=True, bias=False, head_dim=128)


def _architecture(
    config: Config, *, windows: list[int | None], qk_norm: bool, bias: bool, head_dim: int | None = None
) -> Architecture:
    config.require("hidden_act", "silu", "swish", default="silu")
    width, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    rope = read_rope(config)
    ffn = FFNSpec(intermediate_size=config.integer("intermediate_size"))
    operators: list[OperatorSpec] = []
    for window in windows:
        attends = AttentionSpec(
            num_heads=heads,
            num_kv_heads=config.integer("num_key_value_heads", heads),
            head_dim=config.integer("head_dim", head_dim or width // heads),
            window=window,
            rope_theta=rope.rope_theta,
            rotary_fraction=rope.rotary_fraction,
            rope_scaling=rope.rope_scaling,
            qk_norm=qk_norm,
            bias=bias,
        )
        operators += [attends, ffn]
    return Architecture(
        hidden_size=width,
        operators=tuple(operators),
        vocab_size=config.integer("vocab_size"),
        tie_embeddings=config.flag("tie_word_embeddings", default=False),
        norm_eps=config.number("rms_norm_eps", 1e-6),
    )


def _no_windows(config: Config) -> list[int | None]:
    return [None] * config.integer("num_hidden_layers")


def _windows(config: Config) -> list[int | None]:
    """Return each layer's window; from `max_window_layers` on where the layers are not listed."""
    layers = config.integer("num_hidden_layers")
    if not config.flag("use_sliding_window", default=False) or config.value("sliding_window") is None:
        return [None] * layers
    window = config.integer("sliding_window")
    if config.value("layer_types") is not None:
        return [window if kind == "sliding_attention" else None for kind in config.words("layer_types")]
    first = config.integer("max_window_layers", 28)
    return [window if layer >= first else None for layer in range(layers)]
