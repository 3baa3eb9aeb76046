"""Layers as torch.compile makes them.

Each by itself, so that equal ones share code and the parts of a sharded model stay apart.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch._dynamo

from operators.model import HybridLM

_VARIANTS_A_LAYER = 4
"""With and without gradients, and of lengths: some are compiled for one length, then for any."""


@contextmanager
def compiled_layers(model: HybridLM, *, num_stages: int) -> Iterator[None]:
    """Compile every layer when it first runs; training is to happen inside this context.

    All layers are one function to torch, which by default gives up on one after eight variants, in silence but for a
    warning: kinds of operators, places of attention, gradients or none, and lengths each make one.
    """
    most = _VARIANTS_A_LAYER * len(model.residual_operators) * num_stages
    for layer in model.residual_operators:
        layer.compile()
    with torch._dynamo.config.patch(recompile_limit=most, accumulated_recompile_limit=4 * most):
        yield
