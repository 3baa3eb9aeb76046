"""NemotronH without experts.

NVIDIA's code bounds step sizes by `time_step_limit`, which is no bound in what it published; `time_step_min` is where
they start in training, although transformers takes it for a bound.
"""

from typing import Final

from nas.errors import ModelImportError
from nas.importing.config import Config
from search_spaces import Architecture
from search_spaces.specs import AttentionSpec, FFNSpec, Mamba2Spec, OperatorSpec

LETTERS: Final = {"linear_attention": "M", "mamba": "M", "full_attention": "*", "attention": "*", "mlp": "-"}
"""Words of `layers_block_type` in the letters of `hybrid_override_pattern`."""


def nemotron_h_architecture(config: Config) -> Architecture:
    """Return the architecture of a NemotronH."""
    for name in ("mlp_bias", "attention_bias", "use_bias", "mamba_proj_bias"):
        config.require(name, False, default=False)
    config.require("use_conv_bias", True, default=True)
    config.require("mlp_hidden_act", "relu2", default="relu2")
    config.require("mamba_hidden_act", "silu", "swish", default="silu")
    config.require("time_step_limit", [0.0, float("inf")], default=[0.0, float("inf")])
    config.require("sliding_window", None, default=None)
    width, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    pattern = _pattern(config)
    # Asked only for what the pattern uses.
    operators: dict[str, OperatorSpec] = {}
    if "M" in pattern:
        operators["M"] = Mamba2Spec(
            num_heads=config.integer("mamba_num_heads"),
            head_dim=config.integer("mamba_head_dim"),
            state_size=config.integer("ssm_state_size", 128),
            num_groups=config.integer("n_groups", 8),
            conv_width=config.integer("conv_kernel", 4),
        )
    if "*" in pattern:
        operators["*"] = AttentionSpec(
            num_heads=heads,
            num_kv_heads=config.integer("num_key_value_heads", heads),
            head_dim=config.integer("head_dim", config.integer("attention_head_dim", width // heads)),
        )
    if "-" in pattern:
        operators["-"] = FFNSpec(intermediate_size=config.integer("intermediate_size"), activation="relu2")
    return Architecture(
        hidden_size=width,
        operators=tuple(operators[letter] for letter in pattern),
        vocab_size=config.integer("vocab_size"),
        # Its head is one of its own, whatever the configuration says.
        tie_embeddings=False,
        norm_eps=config.number("layer_norm_epsilon", config.number("rms_norm_eps", 1e-5)),
    )


def _pattern(config: Config) -> str:
    pattern = config.value("hybrid_override_pattern")
    if pattern is None:
        pattern = "".join(LETTERS.get(word, "E") for word in config.words("layers_block_type"))
    other = sorted(set(pattern) - set(LETTERS.values()))
    if other:
        raise ModelImportError(
            f"nemotron_h: only layers M, * and - can be imported; hybrid_override_pattern has {', '.join(other)}. "
            "Mixtures of experts have no counterpart here."
        )
    return str(pattern)
