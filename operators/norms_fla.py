"""The gated RMS norm in one kernel of fla's; it runs where fla's convolution does (`convolution_fla.py`).

Statistics are taken in float32. torch.compile breaks the graph here.
"""

from torch import Tensor

from operators.norms import GatedRMSNorm


def gated_rms_norm(norm: GatedRMSNorm, x: Tensor, gate: Tensor) -> Tensor:
    """Return norm(x · silu(gate)) · weight in the input's dtype: fla's order with `norm_before_gate` off."""
    from fla.modules.layernorm_gated import rmsnorm_fn

    normalized: Tensor = rmsnorm_fn(
        x,
        norm.weight,
        None,
        z=gate,
        eps=norm.eps,
        group_size=x.shape[-1] // norm.num_groups,
        norm_before_gate=False,
    )
    return normalized
