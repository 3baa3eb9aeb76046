"""The hybrid-head operator: attention and a state space read one projection, their mean is projected back [HY, 2.1].

The attention branch is RMS-normalised. So is the state-space branch: Mamba-1 by a norm of its own here, Mamba2 by the
gated norm it ends with.
"""

from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from operators.attention.heads import AttentionHeads
from operators.attention.layer import Attention
from operators.backends import AUTO, BackendChoice, Phase
from operators.base import Operator, StateRequest
from operators.context import SequenceContext
from operators.hybrid_head.state import HybridHeadState
from operators.mamba1.layer import Mamba1
from operators.mamba1.mixer import Mamba1Mixer
from operators.mamba2.layer import Mamba2
from operators.mamba2.mixer import Mamba2Mixer
from operators.norms import RMSNorm
from operators.projected import ProjectedOperator
from search_spaces.specs import HybridHeadSpec, Mamba1Spec


@final
class HybridHead(ProjectedOperator[HybridHeadState]):
    """Attention and a state space in parallel on one input."""

    sequence_backends: ClassVar[tuple[str, ...]] = ("sdpa", "mamba_ssm", "fla", "chunked", "reference")
    step_backends: ClassVar[tuple[str, ...]] = ("triton", "sdpa", "reference")

    def __init__(self, spec: HybridHeadSpec, *, hidden_size: int, norm_eps: float, backend: str) -> None:
        super().__init__()
        self.spec = spec
        self.backends = self.choose(backend, excluded=self._lacking(spec))
        inner = spec.ssm.inner_size
        self.heads = AttentionHeads(spec.attention, norm_eps=norm_eps, backends=self._within(Attention))
        self.mixer: Mamba1Mixer | Mamba2Mixer
        if isinstance(spec.ssm, Mamba1Spec):
            self.mixer = Mamba1Mixer(spec.ssm, norm_eps=norm_eps, backends=self._within(Mamba1))
            self.ssm_norm: nn.Module = RMSNorm(inner, eps=norm_eps)
        else:
            self.mixer = Mamba2Mixer(spec.ssm, norm_eps=norm_eps, backends=self._within(Mamba2))
            self.ssm_norm = nn.Identity()
        self.attention_norm = RMSNorm(inner, eps=norm_eps)
        self.widths = [sum(self.heads.widths), sum(self.mixer.widths)]
        self.in_projection = nn.Linear(hidden_size, sum(self.widths), bias=False)
        self.qkv_bias = nn.Parameter(torch.empty(self.widths[0])) if spec.attention.bias else None
        self.output = nn.Linear(inner, hidden_size, bias=False)

    def mix(self, streams_BTC: Tensor, *, state: HybridHeadState | None, context: SequenceContext) -> Tensor:
        """Return the mean of both branches for a chunk."""
        qkv_BTC, ssm_BTC = self._split(streams_BTC)
        attended_BTI = self.heads(qkv_BTC, state=None if state is None else state.cache, context=context)
        scanned_BTI = self.mixer(ssm_BTC, state=None if state is None else state.ssm, context=context)
        return self._combine(attended_BTI, scanned_BTI)

    def mix_step(self, streams_BC: Tensor, state: HybridHeadState) -> Tensor:
        """Return the mean of both branches for one token."""
        qkv_BC, ssm_BC = self._split(streams_BC)
        attended_BI = self.heads.step(qkv_BC, state.cache)
        scanned_BI = self.mixer.step(ssm_BC, state.ssm)
        return self._combine(attended_BI, scanned_BI)

    def make_state(self, request: StateRequest) -> HybridHeadState:
        """Return an empty state; its cache is the source's where keys and values are shared."""
        return HybridHeadState(cache=self.heads.make_state(request), ssm=self.mixer.make_state(request))

    def backend_at(self, phase: Phase, x: Tensor) -> str:
        """Return the backends of both branches, as in `sdpa+chunked`."""
        branches = (branch.backends.at(phase, x) for branch in (self.heads, self.mixer))
        return "+".join(dict.fromkeys(branches))

    def inner_matrices(self) -> tuple[Tensor, ...]:
        """Return those of the state space."""
        return self.mixer.inner_matrices()

    def initialize_inner(self, *, generator: torch.Generator) -> None:
        """Draw what the state space holds; biases start at zero."""
        if self.qkv_bias is not None:
            nn.init.zeros_(self.qkv_bias)
        self.mixer.initialize(generator=generator)

    @classmethod
    def offered_backends(cls, spec: HybridHeadSpec | None = None) -> tuple[str, ...]:
        """Return every backend of the class, or those that a branch of this spec has."""
        offered = super().offered_backends()
        return offered if spec is None else tuple(name for name in offered if name not in cls._lacking(spec))

    @staticmethod
    def _lacking(spec: HybridHeadSpec) -> dict[str, str]:
        ssm: type[Operator[Any]] = Mamba1 if isinstance(spec.ssm, Mamba1Spec) else Mamba2
        held = {*Attention.offered_backends(), *ssm.offered_backends()}
        return {
            name: f"neither {Attention.__name__} nor {ssm.__name__} has it"
            for name in HybridHead.offered_backends()
            if name not in held
        }

    def _within(self, branch: type[Operator[Any]]) -> BackendChoice:
        """Return the choice of one branch: the backend asked for where the branch has it, else `auto`."""
        requested = self.backends.requested
        return branch.choose(requested if requested in branch.offered_backends() else AUTO)

    def _split(self, streams: Tensor) -> tuple[Tensor, Tensor]:
        qkv, ssm = torch.split(streams, self.widths, dim=-1)
        return (qkv if self.qkv_bias is None else qkv + self.qkv_bias), ssm

    def _combine(self, attended: Tensor, scanned: Tensor) -> Tensor:
        mean: Tensor = (self.attention_norm(attended) + self.ssm_norm(scanned)) / 2
        return mean
