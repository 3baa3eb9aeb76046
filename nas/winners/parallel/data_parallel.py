"""Every process holds the whole model: gradients are averaged while the rest of them is still being computed (DDP)."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, final

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from nas.winners.parallel.together import Together
from nas.winners.parallel.whole_model import WholeModel

if TYPE_CHECKING:
    from nas.winners.loss import TrainingLoss


@final
class DataParallel(WholeModel, Together):
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
