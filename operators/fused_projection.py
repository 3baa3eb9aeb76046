"""Projections of one token, with what stands before and after them: the truth in torch, and the fused form.

The fused form is one launch of `projection_kernels.py` for at most 16 rows; sequences are left to matrix products.
"""

from torch import Tensor
from torch.nn import functional as F

from operators.ffn.reference import activate
from operators.precision import wide
from search_spaces.errors import SpecError
from search_spaces.specs import Activation

__all__ = ["fits", "gated", "gated_reference", "projected", "projected_reference"]


def fits(x_BD: Tensor, *matrices: Tensor) -> bool:
    """Return whether the kernels take such a batch and matrices; others are left to torch's matrix products."""
    from operators.projection_kernels import MOST_COLUMNS, MOST_TOKENS

    return x_BD.shape[0] <= MOST_TOKENS and all(
        weight.dtype == x_BD.dtype and weight.shape[1] <= MOST_COLUMNS and weight.is_contiguous() for weight in matrices
    )


def projected_reference(
    x_BD: Tensor,
    weight_OD: Tensor,
    *,
    norm_weight_D: Tensor | None = None,
    eps: float = 0.0,
    bias_O: Tensor | None = None,
    residual_BO: Tensor | None = None,
) -> Tensor:
    """Return residual + W · rms_norm(x) + bias, [B, O]: the chain of kernels that `projected` replaces."""
    y_BO = F.linear(_normalized(x_BD, norm_weight_D, eps=eps), weight_OD, bias_O)
    return y_BO if residual_BO is None else residual_BO + y_BO


def gated_reference(
    x_BD: Tensor,
    weight: Tensor,
    *,
    norm_weight_D: Tensor | None = None,
    eps: float = 0.0,
    activation: Activation,
) -> Tensor:
    """Return activation(W · rms_norm(x)), [B, F]: the chain of kernels that `gated` replaces."""
    return activate(F.linear(_normalized(x_BD, norm_weight_D, eps=eps), weight), activation=activation)


def projected(
    x_BD: Tensor,
    weight_OD: Tensor,
    *,
    norm_weight_D: Tensor | None = None,
    eps: float = 0.0,
    bias_O: Tensor | None = None,
    residual_BO: Tensor | None = None,
) -> Tensor:
    """Return residual + W · rms_norm(x) + bias, [B, O] in the dtype of x, in one launch; no gradients.

    Rounded to that dtype where the chain of kernels rounds: after the norm, after product and bias, after the sum.

    Args:
        x_BD: Inputs, at most 16 rows, columns contiguous.
        weight_OD: Contiguous, in the dtype of x.
        norm_weight_D: Weight of the norm; none means no norm.
        eps: Added to its mean square.
        bias_O: Added to the product.
        residual_BO: Added to that, columns contiguous.

    Raises:
        SpecError: a shape, dtype or stride is not one of these.
    """
    outputs = weight_OD.shape[0]
    _check(x_BD, weight_OD, norm_weight_D)
    _check_shape("bias_O", bias_O, (outputs,))
    _check_shape("residual_BO", residual_BO, (x_BD.shape[0], outputs))
    from operators.projection_kernels import multiply

    return multiply(
        x_BD,
        weight_OD,
        num_outputs=outputs,
        norm_weight_D=norm_weight_D,
        eps=eps,
        bias_O=bias_O,
        residual_BO=residual_BO,
    )


def gated(
    x_BD: Tensor,
    weight: Tensor,
    *,
    norm_weight_D: Tensor | None = None,
    eps: float = 0.0,
    activation: Activation,
) -> Tensor:
    """Return silu(gate) · up of [gate, up] = W · rms_norm(x), or relu² or gelu of W · rms_norm(x), in one launch.

    Rounded to the dtype of x, which is that of the result [B, F], where the chain of kernels rounds; no gradients.

    Args:
        x_BD: Inputs, at most 16 rows, columns contiguous.
        weight: Contiguous, in the dtype of x; [2 · F, D], the gate first, for `swiglu`, else [F, D].
        norm_weight_D: Weight of the norm; none means no norm.
        eps: Added to its mean square.
        activation: The channel mixer's.

    Raises:
        SpecError: a shape, dtype or stride is not one of these.
    """
    _check(x_BD, weight, norm_weight_D)
    rows = weight.shape[0]
    if activation == "swiglu" and rows % 2:
        raise SpecError(f"A gated matrix must have an even number of rows, gates first; got {rows}.")
    from operators.projection_kernels import multiply

    return multiply(
        x_BD,
        weight,
        num_outputs=rows // 2 if activation == "swiglu" else rows,
        norm_weight_D=norm_weight_D,
        eps=eps,
        activation=activation,
    )


def _normalized(x_BD: Tensor, weight_D: Tensor | None, *, eps: float) -> Tensor:
    if weight_D is None:
        return x_BD
    x = wide(x_BD)
    return F.rms_norm(x, weight_D.shape, weight_D.to(x.dtype), eps).to(x_BD.dtype)


def _check(x_BD: Tensor, weight: Tensor, norm_weight_D: Tensor | None) -> None:
    from operators.projection_kernels import MOST_COLUMNS, MOST_TOKENS

    if x_BD.ndim != 2 or not 1 <= x_BD.shape[0] <= MOST_TOKENS or not 1 <= x_BD.shape[1] <= MOST_COLUMNS:
        raise SpecError(
            f"x_BD must have 1 to {MOST_TOKENS} rows and 1 to {MOST_COLUMNS} columns; got {tuple(x_BD.shape)}. "
            "Use the torch chain for more."
        )
    if x_BD.dtype != weight.dtype or x_BD.element_size() > 4:
        raise SpecError(
            f"x_BD and the matrix must share a dtype of at most 32 bits; got {x_BD.dtype} and {weight.dtype}."
        )
    if weight.ndim != 2 or weight.shape[1] != x_BD.shape[1] or not weight.shape[0]:
        raise SpecError(f"The matrix must be [outputs, {x_BD.shape[1]}]; got {tuple(weight.shape)}.")
    if not weight.is_contiguous() or x_BD.stride(1) != 1:
        raise SpecError(
            "The matrix and the columns of x_BD must be contiguous; got strides "
            f"{weight.stride()} and {x_BD.stride()}. Call .contiguous() on them once."
        )
    _check_shape("norm_weight_D", norm_weight_D, (x_BD.shape[1],))


def _check_shape(name: str, tensor: Tensor | None, shape: tuple[int, ...]) -> None:
    if tensor is not None and (tuple(tensor.shape) != shape or tensor.stride(-1) != 1):
        raise SpecError(
            f"{name} must be {shape} with a contiguous last axis; got {tuple(tensor.shape)}, strides {tensor.stride()}."
        )
