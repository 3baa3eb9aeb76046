"""What is remembered between tokens: a cache of our own, for transformers' knows no operator that does both.

Part of the exported file; see `../merging.py`.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache


class Memory(dict[str, Tensor]):
    """Tensors of one operator by name, every one with a row a sequence."""

    def to(self, device: Any, **kwargs: Any) -> "Memory":
        """Move in place: what spreads a model over devices would else hand the operator a copy to remember in."""
        for name, tensor in self.items():
            self[name] = tensor.to(device, **kwargs)
        return self


class HybridCache(Cache):
    """What every operator remembers: keys and values, or the last inputs of convolutions and a recurrent state."""

    def __init__(self, num_operators: int) -> None:
        super().__init__(layers=[])
        self.memories: list[Memory] = [Memory() for _ in range(num_operators)]
        self.tokens_seen = 0
        self.length_B: Tensor | None = None
        self.has_padding = False

    def __len__(self) -> int:
        """Return the number of operators."""
        return len(self.memories)

    def get_seq_length(self, layer_idx: int = 0) -> int:  # noqa: ARG002  # transformers gives it
        """Return the columns of the attention mask that were read, padding included and meta tokens not."""
        return self.tokens_seen

    def get_max_length(self, layer_idx: int | None = None) -> int:  # noqa: ARG002  # transformers gives it
        """Return transformers' word for no bound."""
        return -1

    def reset(self) -> None:
        """Forget everything."""
        self.__init__(len(self.memories))  # type: ignore[misc]  # the state of a new one is what is wanted

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Let every row go on from the row `beam_idx` names."""
        self._map(lambda x: x.index_select(0, beam_idx.to(x.device)))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows."""
        self._map(lambda x: x[indices.to(x.device)])

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row."""
        self._map(lambda x: x.repeat_interleave(repeats, dim=0))

    def crop(self, tokens_to_remove: int) -> None:
        """Refuse: a recurrent state cannot be turned back."""
        raise NotImplementedError(f"A HybridCache cannot forget {tokens_to_remove} tokens; make a new one.")

    def _map(self, change: Callable[[Tensor], Tensor]) -> None:
        self.memories = [Memory({name: change(x) for name, x in memory.items()}) for memory in self.memories]
        self.length_B = None if self.length_B is None else change(self.length_B)
