"""What the layers of fla 0.6 and mamba-ssm 2.3 run for one token between their projections, with the weights of ours.

The kernels, their order and their options are those of the layers (`GatedDeltaNet.forward`, `DeltaNet.forward`,
`Mamba2.step`); what of it is a choice of ours is said where it is made. Batch 1, where no view needs a copy.
"""

from typing import Any

import torch
from torch import Tensor

from search_spaces.specs import DeltaNetSpec, GatedDeltaNetSpec, Mamba2Spec


class FlaChain:
    """fla's DeltaNet or gated DeltaNet.

    Its layers convolve queries, keys and values in three launches. `joins_convolutions` makes them one, which no layer
    of fla does with a cache, but its kernels could.
    """

    def __init__(
        self,
        operator: Any,
        spec: DeltaNetSpec | GatedDeltaNetSpec,
        *,
        projected_BC: Tensor,
        state: Any,
        joins_convolutions: bool = False,
    ) -> None:
        self.operator, self.spec, self.projected_BC = operator, spec, projected_BC
        heads, head_dim = spec.num_heads, spec.head_dim
        self._shapes = [(heads, head_dim), (heads, head_dim), tuple(state.carried.shape[1::2])]
        streams = [count * width for count, width in self._shapes]
        self._streams = [sum(streams)] if joins_convolutions else streams
        self._split_after = streams if joins_convolutions else []
        weights = torch.split(operator.conv.weight.detach(), self._streams)
        caches = torch.split(_conv_cache(state.history), self._streams, dim=1)
        self._convolutions = [(w.contiguous(), c.contiguous()) for w, c in zip(weights, caches, strict=True)]
        self._is_gated_delta = isinstance(spec, GatedDeltaNetSpec)
        # Only the gated one keeps values before keys.
        self.carried = state.carried.mT.contiguous() if self._is_gated_delta else state.carried.clone()
        self.carried_after = self.carried
        """A new tensor every time, as in fla: each copy of a model's layer writes memory of its own."""

    def __call__(self) -> Tensor:
        """Return what is projected back, [B, inner]; the state that follows is beside it."""
        from fla.modules.layernorm import rms_norm
        from fla.ops.delta_rule import fused_recurrent_delta_rule
        from fla.ops.gated_delta_rule import fused_recurrent_gated_delta_rule

        operator, norm = self.operator, self.operator.norm
        qkv, beta, *rest = torch.split(self.projected_BC[:, None], operator.widths, dim=-1)
        q, k, v = (torch.unflatten(x, -1, s) for x, s in zip(self._convolved(qkv), self._shapes, strict=True))
        if self._is_gated_delta:
            y, self.carried_after = fused_recurrent_gated_delta_rule(
                q=q,
                k=k,
                v=v,
                g=rest.pop(0),
                beta=beta,
                initial_state=self.carried,
                output_final_state=True,
                use_qk_l2norm_in_kernel=True,
                use_gate_in_kernel=True,
                A_log=operator.A_log.detach(),
                dt_bias=operator.dt_bias.detach(),
                use_beta_sigmoid_in_kernel=True,
                allow_neg_eigval=self.spec.allow_negative_eigenvalues,
                state_v_first=True,
            )
        else:
            strength = beta.sigmoid()
            y, self.carried_after = fused_recurrent_delta_rule(
                q=q,
                k=k,
                v=v,
                beta=strength * 2.0 if self.spec.allow_negative_eigenvalues else strength,
                initial_state=self.carried,
                output_final_state=True,
                use_qk_l2norm_in_kernel=True,
            )
        if not rest:
            normed: Tensor = rms_norm(y, norm.weight.detach(), None, eps=norm.eps)
            return normed.flatten(1)
        from fla.modules.fused_norm_gate import rms_norm_gated

        gate = torch.unflatten(rest[0], -1, self._shapes[2])
        gated: Tensor = rms_norm_gated(y, gate, norm.weight.detach(), None, activation="swish", eps=norm.eps)
        return gated.flatten(1)

    def advance(self, projected_BC: Tensor) -> None:
        """Take the next token."""
        self.projected_BC, self.carried = projected_BC, self.carried_after

    def _convolved(self, qkv: Tensor) -> tuple[Tensor, ...]:
        from fla.modules.convolution import causal_conv1d_update

        parts = [
            causal_conv1d_update(x=x, cache=cache, residual=None, weight=weight, bias=None, activation="silu")[0]
            for x, (weight, cache) in zip(torch.split(qkv, self._streams, dim=-1), self._convolutions, strict=True)
        ]
        return torch.split(parts[0], self._split_after, dim=-1) if self._split_after else tuple(parts)


class MambaChain:
    """mamba-ssm's Mamba2; its state is float32 here as ours is, while its own cache has the model's type."""

    def __init__(self, operator: Any, spec: Mamba2Spec, *, projected_BC: Tensor, state: Any) -> None:
        self.mixer, self.spec, self.projected_BC = operator.mixer, spec, projected_BC
        # As its cache lies in memory: tokens before channels.
        self._cache_BCW = _conv_cache(state.history).mT.contiguous().mT
        self.carried = state.carried.clone()
        mixer = self.mixer
        # Its layer makes A from its logarithm for every token, in two or three launches; those it is spared here.
        A_H = -torch.exp(mixer.A_log.detach().float())
        self._A_HPN = A_H[:, None, None].expand(-1, spec.head_dim, spec.state_size)
        self._dt_bias_HP, self._D_HP = (x.detach()[:, None].expand(-1, spec.head_dim) for x in (mixer.dt_bias, mixer.D))

    def __call__(self) -> Tensor:
        """Return what is projected back, [B, inner], moving the state on in place."""
        from causal_conv1d import causal_conv1d_update
        from mamba_ssm.ops.triton.layernorm_gated import rmsnorm_fn
        from mamba_ssm.ops.triton.selective_state_update import selective_state_update

        mixer, spec = self.mixer, self.spec
        z, xbc, dt = torch.split(self.projected_BC, mixer.widths, dim=-1)
        convolved = causal_conv1d_update(
            xbc, self._cache_BCW, mixer.conv.weight.detach(), mixer.conv.bias.detach(), "silu"
        )
        x, B, C = torch.split(convolved, [spec.inner_size, mixer.group_width, mixer.group_width], dim=-1)
        y = selective_state_update(
            self.carried,
            torch.unflatten(x, -1, (spec.num_heads, -1)),
            dt[..., None].expand(-1, -1, spec.head_dim),
            self._A_HPN,
            torch.unflatten(B, -1, (spec.num_groups, -1)),
            torch.unflatten(C, -1, (spec.num_groups, -1)),
            self._D_HP,
            z=None,
            dt_bias=self._dt_bias_HP,
            dt_softplus=True,
        )
        normed: Tensor = rmsnorm_fn(
            y.flatten(1),
            mixer.norm.weight.detach(),
            None,
            z=z,
            eps=mixer.norm.eps,
            group_size=spec.inner_size // mixer.norm.num_groups,
            norm_before_gate=False,
        )
        return normed

    def advance(self, projected_BC: Tensor) -> None:
        """Take the next token."""
        self.projected_BC = projected_BC


Chain = FlaChain | MambaChain


def _conv_cache(history_BJC: Tensor) -> Tensor:
    """Return [B, C, W]: both libraries keep one input more than they read, the oldest."""
    history_BCJ = history_BJC.mT
    return torch.cat((torch.zeros_like(history_BCJ[..., :1]), history_BCJ), dim=-1)
