"""Every process holds the whole model: gradients are averaged while the rest of them is still being computed (DDP)."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nas.winners.parallel.together import Together
from operators.model import HybridLM
from operators.weight_norm import WeightNormalization

if TYPE_CHECKING:
    from nas.winners.loss import TrainingLoss


@final
class DataParallel(Together):
    """See `Parallel`."""

    def prepare(self, loss: "TrainingLoss") -> nn.Module:
        """Return the loss in torch's wrapper; parameters stay the same objects."""
        # An empty parameter (no meta tokens) gets no gradient, for which the wrapper would wait.
        empty = [name for name, parameter in loss.named_parameters() if not parameter.numel()]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(  # type: ignore[no-untyped-call]  # torch's
            loss, empty
        )
        return DistributedDataParallel(
            loss,
            device_ids=[self.device] if self.device.type == "cuda" else None,
            gradient_as_bucket_view=True,
        )

    def accumulating(self, module: nn.Module, *, is_last: bool) -> AbstractContextManager[None]:
        """Return the context of one micro-batch."""
        assert isinstance(module, DistributedDataParallel)
        return nullcontext() if is_last else module.no_sync()

    def clip_(self, parameters: Sequence[nn.Parameter], *, max_norm: float) -> Tensor:
        """Scale all gradients to a global norm of at most `max_norm`; return the norm before."""
        return nn.utils.clip_grad_norm_(parameters, max_norm, foreach=True)

    @torch.no_grad()
    def norm(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the global norm: that of this process, which has everything."""
        return nn.utils.get_total_norm(tensors, foreach=True)

    def weight_normalization(self, model: HybridLM) -> Callable[[], None]:
        """Return what normalises the whole matrices, in each process the same."""
        return WeightNormalization(model).apply_
