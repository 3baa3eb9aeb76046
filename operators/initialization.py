"""Initial weights: deterministic from a seed, of a sane scale at any width.

A projection that reads the residual stream has standard deviation 1/√fan_in; one that writes to it is smaller by
√depth, so that the stream's variance does not grow with depth. Norm weights are ones. Values are drawn on the CPU, so
every device gets the same ones.
"""

import math

import torch
from torch import nn

from operators.base import Operator, State
from operators.norms import GatedRMSNorm, RMSNorm


def draw_matrix(weight: torch.Tensor, *, generator: torch.Generator, standard_deviation: float) -> None:
    """Fill a tensor with normal values, in place."""
    with torch.no_grad():
        if weight.device.type == "cpu" and weight.dtype == torch.float32:
            weight.normal_(0, standard_deviation, generator=generator)
        elif weight.device.type != "meta":
            weight.copy_(
                torch.empty(weight.shape, dtype=torch.float32, device="cpu").normal_(
                    0, standard_deviation, generator=generator
                )
            )


def draw_uniform(weight: torch.Tensor, *, generator: torch.Generator, low: float, high: float) -> None:
    """Fill a tensor with uniform values, in place."""
    with torch.no_grad():
        if weight.device.type != "meta":
            weight.copy_(
                torch.empty(weight.shape, dtype=torch.float32, device="cpu").uniform_(low, high, generator=generator)
            )


def draw_reading(linear: nn.Linear, *, generator: torch.Generator) -> None:
    """Draw a projection that reads the residual stream, or one within an operator."""
    draw_matrix(linear.weight, generator=generator, standard_deviation=linear.in_features**-0.5)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


def draw_writing(linear: nn.Linear, *, generator: torch.Generator, depth: int) -> None:
    """Draw a projection that writes to the residual stream of a model of `depth` operators."""
    draw_matrix(linear.weight, generator=generator, standard_deviation=(linear.in_features * depth) ** -0.5)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


def draw_step_bias(
    bias: torch.Tensor, *, generator: torch.Generator, shortest: float = 1e-3, longest: float = 1e-1
) -> None:
    """Fill a bias so that softplus(bias) is log-uniform in [shortest, longest], as Mamba does."""
    with torch.no_grad():
        if bias.device.type != "meta":
            log_step = torch.empty(bias.shape, dtype=torch.float32, device="cpu")
            step = log_step.uniform_(math.log(shortest), math.log(longest), generator=generator).exp()
            bias.copy_(step + torch.log(-torch.expm1(-step)))


def initialize_operator(operator: Operator[State], *, generator: torch.Generator, depth: int) -> None:
    """Draw every parameter of an operator of a model of `depth` operators."""
    set_norms_to_one(operator)
    operator.initialize(generator=generator, depth=depth)


def set_norms_to_one(module: nn.Module) -> None:
    """Set the weight of every norm within a module to one."""
    for child in module.modules():
        if isinstance(child, RMSNorm | GatedRMSNorm):
            nn.init.ones_(child.weight)


def generator_from(seed: int) -> torch.Generator:
    """Return a generator on the CPU."""
    return torch.Generator("cpu").manual_seed(seed)
