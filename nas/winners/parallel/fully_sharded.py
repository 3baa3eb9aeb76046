"""Every process holds a part of each parameter, its gradient and its optimizer state (FSDP2).

An operator's parameters are gathered while it computes. In bfloat16 the projections from and to the residual stream,
which are nearly all of them, travel as bfloat16, what autocast would make of them anyway; norms, decays, embedding and
head travel in float32. Parameters, gradients between processes and optimizer states are float32.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, Shard

from nas.winners.parallel.together import Together
from operators.model import HybridLM, ResidualOperator
from operators.sharded_weight_norm import ShardedWeightNormalization
from proxies.ranks import Ranks
from search_spaces import SpecError

if TYPE_CHECKING:
    from nas.winners.loss import TrainingLoss


@final
class FullySharded(Together):
    """See `Parallel`."""

    def __init__(
        self, ranks: Ranks, *, device: torch.device, shards: int | None = None, bfloat16: bool = False
    ) -> None:
        """Take processes that have joined one process group.

        Args:
            ranks: this process among them.
            device: its own.
            shards: processes that hold one copy of the model together, neighbours by rank; none means all.
            bfloat16: whether projections travel in bfloat16; for training within autocast.

        Raises:
            SpecError: the processes cannot be divided into groups of `shards`.
        """
        super().__init__(ranks, device=device)
        if shards is not None and ranks.count % shards:
            raise SpecError(
                f"parallel.shards must divide the number of processes; got {shards} of {ranks.count}. "
                "Give the processes of one node, or leave it out."
            )
        self._bfloat16 = bfloat16
        self._mesh = _mesh(device.type, count=ranks.count, shards=shards or ranks.count)

    def prepare(self, loss: "TrainingLoss") -> nn.Module:
        """Return the loss itself, its model sharded: an operator at a time, then what is left."""
        model = loss.model
        for layer in model.residual_operators:
            if self._bfloat16:
                for projection in _projections(layer):
                    fully_shard(projection, mesh=self._mesh, mp_policy=_BFLOAT16)
            fully_shard(layer, mesh=self._mesh)
        fully_shard(model, mesh=self._mesh)
        # The loss asks for the stream first, and for logits of pieces of it; what these need stays gathered meanwhile.
        # The stream is a view where there are meta tokens, of which torch warns; nobody changes it in place.
        warnings.filterwarnings("ignore", message=r"FSDP2-wrapped module \(\w*HybridLM\) returned a view tensor")
        register_fsdp_forward_method(model, "stream")
        for module in (model, loss):
            module.register_forward_hook(partial(_reshard_after_validation, model))
        return loss

    def accumulating(self, module: nn.Module, *, is_last: bool) -> AbstractContextManager[None]:
        """Return the context of one micro-batch; until the last, gradients are kept whole in each process."""
        for child in module.children():
            if isinstance(child, FSDPModule):
                child.set_requires_gradient_sync(is_last)
        return nullcontext()

    @torch.no_grad()
    def clip_(self, parameters: Sequence[nn.Parameter], *, max_norm: float) -> Tensor:
        """Scale all gradients to a global norm of at most `max_norm`; return the norm before."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        norm = self.norm(gradients)
        # As in torch's own clipping, which does not take the sharded and the plain in one call.
        factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(_local(gradients), factor)
        return norm

    @torch.no_grad()
    def norm(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the global norm, with one exchange."""
        squares = nn.utils.get_total_norm(_local(tensors), foreach=True).to(self.device).square()
        copies = self._mesh.size() // self._mesh.size(self._mesh.ndim - 1)
        return self.sum_(squares).div_(copies).sqrt_()

    def weight_normalization(self, model: HybridLM) -> Callable[[], None]:
        """Return what normalises the parts that each process holds."""
        return ShardedWeightNormalization(model).apply_


_BFLOAT16 = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)


def _mesh(device_type: str, *, count: int, shards: int) -> DeviceMesh:
    """Return the processes as [copies, shards], or as [shards] where there is one copy."""
    if shards == count:
        return init_device_mesh(device_type, (count,), mesh_dim_names=("shard",))
    return init_device_mesh(device_type, (count // shards, shards), mesh_dim_names=("copy", "shard"))


def _projections(layer: ResidualOperator) -> list[nn.Module]:
    """Return the linear maps from and to the residual stream, which an operator always calls as modules."""
    declared = {id(weight) for weight in (*layer.operator.reads_residual(), *layer.operator.writes_residual())}
    return [module for module in layer.modules() if isinstance(module, nn.Linear) and id(module.weight) in declared]


def _reshard_after_validation(model: nn.Module, *_: Any) -> None:
    """Free what the root gathered where no backward pass will: parameters are the sharded ones between steps."""
    if not torch.is_grad_enabled():
        assert isinstance(model, FSDPModule)
        model.reshard()


def _local(tensors: Iterable[Tensor]) -> list[Tensor]:
    local = []
    for tensor in tensors:
        assert isinstance(tensor, DTensor)
        assert any(isinstance(placement, Shard) for placement in tensor.placements)
        local.append(tensor.to_local())
    return local
