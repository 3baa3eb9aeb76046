"""Names and configuration of a folder for transformers, both ways.

Which files there are is `exporter.py`; the code beside them is `merging.py`. Loads torch only for names of weights.
"""

from collections.abc import Mapping
from typing import Any, Final

from nas.export.native.layout import Layout, Part
from search_spaces import Architecture

MODEL_TYPE: Final = "hybridnas"
CODE_FILE: Final = "modeling_hybridnas.py"

_CLASSES: Final = {"AutoConfig": "HybridNASConfig", "AutoModel": "HybridNASModel"}
_CAUSAL: Final = "HybridNASForCausalLM"
_NAMES: Final = {"embedding": "model.embed_tokens.weight", "head": "lm_head.weight"}
_PREFIX: Final = "model."
_FIELDS: Final = ("operators", "hidden_size", "vocab_size", "num_meta_tokens", "norm_eps")


def config_of(architecture: Architecture) -> dict[str, Any]:
    """Return `config.json`, without what tokenizer and weights say."""
    content = architecture.to_dict()
    module = CODE_FILE.removesuffix(".py")
    classes = {**_CLASSES, "AutoModelForCausalLM": _CAUSAL}
    return {
        "model_type": MODEL_TYPE,
        "architectures": [_CAUSAL],
        "auto_map": {auto: f"{module}.{name}" for auto, name in classes.items()},
        **{name: content[name] for name in _FIELDS},
        "num_hidden_layers": architecture.depth,
        "tie_word_embeddings": architecture.tie_embeddings,
    }


def architecture_of(config: Mapping[str, Any]) -> Architecture:
    """Return the architecture that a `config.json` describes.

    Raises:
        SpecError: it describes none.
    """
    content = {name: config[name] for name in _FIELDS if name in config}
    return Architecture.from_dict(
        {"schema_version": 1, "tie_embeddings": config.get("tie_word_embeddings", True), **content}
    )


def foreign_name(name: str) -> str:
    """Return what the exported code calls a parameter of ours."""
    return _NAMES.get(name, _PREFIX + name)


def layout_of(architecture: Architecture) -> Layout:
    """Return where the parameters of an architecture are: each is one tensor of its own shape."""
    import torch

    from operators.model import HybridLM

    with torch.device("meta"):
        weights = HybridLM(architecture, seed=0).state_dict()
    return {name: (Part(name=foreign_name(name), shape=tuple(weight.shape)),) for name, weight in weights.items()}
