"""Live bytes of tensors while torch runs on a CPU: every storage an operation returns, until it is freed.

What a kernel allocates for itself and gives back before it returns is not seen. Works on fake tensors as well, which
have sizes and no memory.
"""

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch does not type its subclass hook
    """Counts while it is entered; nothing that existed before counts unless it is given to `add`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch does not type it
        self.now = 0
        self.peak = 0
        self._sizes: dict[int, int] = {}

    def add(self, tensors: Iterable[object]) -> None:
        """Count the storages of some tensors from now on, each once, until they are freed."""
        for tensor in tensors:
            if isinstance(tensor, Tensor) and tensor.device.type != "meta":
                self._add(tensor.untyped_storage())
        self.peak = max(self.peak, self.now)

    def start_again(self) -> None:
        """Forget the peak so far."""
        self.peak = self.now

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the operation and count what it returns."""
        del types
        result = func(*args, **(kwargs or {}))
        self.add(tree_iter(result))
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        size = storage.nbytes()
        if key not in self._sizes:
            weakref.finalize(storage, self._remove, key)
        self.now += size - self._sizes.get(key, 0)
        self._sizes[key] = size

    def _remove(self, key: int) -> None:
        self.now -= self._sizes.pop(key)
