"""The architecture as transformers keeps it. Part of the exported file; see `../merging.py`."""

from typing import Any, ClassVar

from transformers import PreTrainedConfig

Spec = dict[str, Any]
"""One operator with all its dimensions, by name."""


class HybridNASConfig(PreTrainedConfig):
    """An architecture: every operator with all its dimensions, in order."""

    model_type = "hybridnas"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]

    def __init__(
        self,
        operators: list[Spec] | None = None,
        hidden_size: int = 256,
        vocab_size: int = 257,
        num_meta_tokens: int = 0,
        norm_eps: float = 1e-6,
        tie_word_embeddings: bool = True,
        use_cache: bool = True,
        use_kernels: bool = True,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        self.operators = list(operators or [])
        self.hidden_size = hidden_size
        self.vocab_size = vocab_size
        self.num_meta_tokens = num_meta_tokens
        self.norm_eps = norm_eps
        self.use_cache = use_cache
        self.use_kernels = use_kernels
        self.initializer_range = initializer_range
        self.num_hidden_layers = len(self.operators)
        kwargs.pop("num_hidden_layers", None)
        self.tie_word_embeddings = tie_word_embeddings
        super().__init__(**kwargs)

    @property
    def layer_types(self) -> list[str]:
        """The operators in transformers' words; `moe` is its word for a layer that remembers nothing."""
        words = {"attention": "full_attention", "hybrid_head": "hybrid", "ffn": "moe"}
        return [words.get(spec["kind"], "linear_attention") for spec in self.operators]
