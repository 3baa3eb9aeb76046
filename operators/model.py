"""The language model: embedding, meta tokens, residual operators, final norm, head.

Training and measuring live elsewhere; so does what the model costs (`cost.py`).
"""

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from operators.attention.heads import AttentionHeads
from operators.backends import AUTO, REFERENCE, BackendChoice
from operators.base import Operator, State, StateError
from operators.context import Documents, SequenceContext
from operators.fused_projection import fits, projected
from operators.initialization import draw_matrix, generator_from, initialize_operator, set_norms_to_one
from operators.norms import RMSNorm
from operators.registry import backends_within, build_operator
from search_spaces.architecture import Architecture
from search_spaces.errors import SpecError
from search_spaces.specs import OperatorSpec, kv_source

_HEAD_BACKENDS: Final = ("triton", REFERENCE)


class ResidualOperator(nn.Module):
    """x + f(norm(x)) of one operator f, with the operator's interface."""

    def __init__(self, spec: OperatorSpec, *, hidden_size: int, norm_eps: float, backend: str = AUTO) -> None:
        super().__init__()
        self.spec = spec
        self.norm = RMSNorm(hidden_size, eps=norm_eps)
        self.operator: Operator[Any] = build_operator(spec, hidden_size=hidden_size, norm_eps=norm_eps, backend=backend)

    def forward(self, x_BTD: Tensor, *, state: State | None = None, context: SequenceContext) -> Tensor:
        """Return the residual stream after the operator, for a chunk."""
        update_BTD: Tensor = self.operator(self.norm(x_BTD), state=state, context=context)
        return x_BTD + update_BTD

    @torch.no_grad()
    def step(self, x_BD: Tensor, state: State) -> Tensor:
        """Return the residual stream after the operator, for one token."""
        y_BD: Tensor = self.operator.residual_step(x_BD, state, norm=self.norm)
        return y_BD

    def new_state(
        self,
        *,
        batch_size: int,
        max_tokens: int,
        device: torch.device | str,
        dtype: torch.dtype,
        num_meta_tokens: int = 0,
        source: State | None = None,
    ) -> State:
        """Return the operator's empty state."""
        state: State = self.operator.new_state(
            batch_size=batch_size,
            max_tokens=max_tokens,
            device=device,
            dtype=dtype,
            num_meta_tokens=num_meta_tokens,
            source=source,
        )
        return state


@dataclass(slots=True, eq=False, kw_only=True)
class ModelState:
    """States of all operators; one that shares keys and values holds its source's cache."""

    operators: tuple[State, ...]
    position: Tensor
    """Tokens seen, meta tokens included, int64 without axes, on the device."""

    batch_size: int

    def tensors(self) -> tuple[Tensor, ...]:
        """Return every tensor once."""
        every = (tensor for state in self.operators for tensor in state.tensors())
        return (*{id(tensor): tensor for tensor in every}.values(), self.position)

    @property
    def num_bytes(self) -> int:
        """Bytes of all states, shared ones counted once; counters are not counted."""
        return sum(tensor.nbytes for tensor in self.tensors() if tensor.is_floating_point())


class HybridLM(nn.Module):
    """A decoder of residual operators in any order.

    Built on the current default device; on the meta device it counts parameters and bytes without holding any.
    `backend` is `auto`, or the name of a backend: operators that have it run it, the others what `auto` chooses.
    """

    checkpoints_activations: bool = False
    """Whether a forward pass with gradients keeps only the stream between operators, and each operator computes what it
    needs of its inside once more during the backward pass."""

    def __init__(self, architecture: Architecture, *, seed: int, backend: str = AUTO) -> None:
        super().__init__()
        self.architecture = architecture
        device = torch.empty(0).device
        width = architecture.hidden_size
        backends = backends_within(architecture.operators, requested=backend)
        self._head_backends = BackendChoice(
            operator="The head",
            requested=backend if backend in _HEAD_BACKENDS else AUTO,
            sequence=(REFERENCE,),
            step=_HEAD_BACKENDS,
        )
        with torch.device("meta"):
            self.embedding = nn.Parameter(torch.empty(architecture.vocab_size, width))
            self.meta_tokens = nn.Parameter(torch.empty(architecture.num_meta_tokens, width))
            self.layers = nn.ModuleList(
                ResidualOperator(spec, hidden_size=width, norm_eps=architecture.norm_eps, backend=name)
                for spec, name in zip(architecture.operators, backends, strict=True)
            )
            self.norm = RMSNorm(width, eps=architecture.norm_eps)
            self.head = None if architecture.tie_embeddings else nn.Parameter(torch.empty_like(self.embedding))
        self.to_empty(device=device)
        self._sources = tuple(kv_source(spec) for spec in architecture.operators)
        self._widen_shared_caches()
        self.initialize(seed=seed)

    @property
    def residual_operators(self) -> tuple[ResidualOperator, ...]:
        """The layers, typed."""
        return tuple(layer for layer in self.layers if isinstance(layer, ResidualOperator))

    @property
    def head_weight(self) -> nn.Parameter:
        """The matrix [V, D] that turns the stream into logits; the embedding where they are tied."""
        return self.embedding if self.head is None else self.head

    def initialize(self, *, seed: int) -> None:
        """Draw every parameter anew from `seed`."""
        generator = generator_from(seed)
        deviation = self.architecture.hidden_size**-0.5
        set_norms_to_one(self)
        for weight in (self.embedding, self.meta_tokens, self.head):
            if weight is not None:
                draw_matrix(weight, generator=generator, standard_deviation=deviation)
        for layer in self.residual_operators:
            initialize_operator(layer.operator, generator=generator, depth=self.architecture.depth)

    def forward(self, tokens_BT: Tensor, *, document_ids_BT: Tensor | None = None) -> Tensor:
        """Return the logits [B, T, V] of the next token at every position.

        Args:
            tokens_BT: Token ids.
            document_ids_BT: Ids of packed documents; each is computed as if it stood alone behind the meta tokens.

        Raises:
            SpecError: no tokens, or document ids of another shape than the tokens.
        """
        return self.logits(self.stream(tokens_BT, document_ids_BT=document_ids_BT))

    def stream(self, tokens_BT: Tensor, *, document_ids_BT: Tensor | None = None) -> Tensor:
        """Return the residual stream [B, T, D] after all operators, before the final norm, at every position.

        Takes and raises what `forward` does.
        """
        _require_tokens(tokens_BT)
        if document_ids_BT is not None and document_ids_BT.shape != tokens_BT.shape:
            raise SpecError(
                f"document_ids_BT must be shaped like tokens_BT, {tuple(tokens_BT.shape)}; "
                f"got {tuple(document_ids_BT.shape)}."
            )
        documents = None if document_ids_BT is None else Documents.from_ids(document_ids_BT)
        num_meta = self.architecture.num_meta_tokens
        x_BTD = F.embedding(tokens_BT, self.embedding)
        if num_meta:
            x_BTD = torch.cat((self.meta_tokens.expand(tokens_BT.shape[0], -1, -1), x_BTD), dim=1)
        context = self._context(start=0, documents=documents)
        for index, layer in enumerate(self.layers):
            x_BTD = self._run_operator(layer, x_BTD, context.at(index))
        return x_BTD[:, num_meta:]

    def new_state(
        self, *, batch_size: int, max_tokens: int, device: torch.device | str, dtype: torch.dtype
    ) -> ModelState:
        """Return the state that follows the meta tokens, for at most `max_tokens` further tokens a sequence."""
        num_meta = self.architecture.num_meta_tokens
        states: list[State] = []
        for layer, source in zip(self.residual_operators, self._sources, strict=True):
            states.append(
                layer.new_state(
                    batch_size=batch_size,
                    max_tokens=max_tokens + num_meta,
                    device=device,
                    dtype=dtype,
                    num_meta_tokens=num_meta,
                    source=None if source is None else states[source],
                )
            )
        position = torch.zeros((), dtype=torch.int64, device=device)
        state = ModelState(operators=tuple(states), position=position, batch_size=batch_size)
        self.reset_state(state)
        return state

    def reset_state(self, state: ModelState) -> None:
        """Return a state to what `new_state` gives, in place."""
        for tensor in state.tensors():
            tensor.zero_()
        if self.architecture.num_meta_tokens:
            with torch.no_grad():
                self._run(self.meta_tokens.expand(state.batch_size, -1, -1), state, start=0)

    @torch.no_grad()
    def prefill(self, tokens_BT: Tensor, state: ModelState) -> Tensor:
        """Return the logits [B, V] after the last token of the next chunk, moving `state` on in place.

        Raises:
            SpecError: no tokens.
            StateError: more tokens than the state has room for, or another batch.
        """
        _require_tokens(tokens_BT)
        _require_batch(tokens_BT, state)
        x_BTD = self._run(F.embedding(tokens_BT, self.embedding), state, start=int(state.position))
        return self.logits(x_BTD[:, -1])

    @torch.no_grad()
    def step(self, tokens_B: Tensor, state: ModelState) -> Tensor:
        """Return the logits [B, V] after one more token, moving `state` on in place without waiting for the device.

        Raises:
            StateError: a state of another batch; room for the token is the caller's affair on a device.
        """
        _require_batch(tokens_B, state)
        x_BD = F.embedding(tokens_B, self.embedding)
        for layer, operator_state in zip(self.residual_operators, state.operators, strict=True):
            x_BD = layer.step(x_BD, operator_state)
        state.position.add_(1)
        return self.step_logits(x_BD)

    def _run_operator(self, layer: nn.Module, x_BTD: Tensor, context: SequenceContext) -> Tensor:
        if self.checkpoints_activations and torch.is_grad_enabled():
            # Nothing here draws random numbers. Shared keys and values stay those of the first run.
            x_BTD = checkpoint(layer, x_BTD, context=context, use_reentrant=False, preserve_rng_state=False)
        else:
            x_BTD = layer(x_BTD, context=context)
        return x_BTD

    def _run(self, x_BTD: Tensor, state: ModelState, *, start: int) -> Tensor:
        context = self._context(start=start, documents=None)
        for index, (layer, operator_state) in enumerate(zip(self.layers, state.operators, strict=True)):
            x_BTD = layer(x_BTD, state=operator_state, context=context.at(index))
        state.position.add_(x_BTD.shape[1])
        return x_BTD

    def _widen_shared_caches(self) -> None:
        """Make every shared cache hold what the operator that sees most of it needs."""
        heads = [getattr(layer.operator, "heads", None) for layer in self.residual_operators]
        for reader, source in zip(heads, self._sources, strict=True):
            if source is None:
                continue
            owner = heads[source]
            assert isinstance(reader, AttentionHeads)
            assert isinstance(owner, AttentionHeads)
            windows = (owner.cache_window, reader.spec.window)
            owner.cache_window = None if None in windows else max(window for window in windows if window is not None)

    def _context(self, *, start: int, documents: Documents | None) -> SequenceContext:
        return SequenceContext(
            num_meta_tokens=self.architecture.num_meta_tokens,
            start=start,
            documents=documents,
            kv_sources=frozenset(source for source in self._sources if source is not None),
        )

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits [..., V] of a residual stream [..., D] after all operators."""
        return F.linear(self.norm(x), self.head_weight)

    def has_fused_head(self, x_BD: Tensor) -> bool:
        """Whether final norm and head of a step are one launch of ours on such a stream."""
        return self._head_backends.at("step", x_BD) == "triton" and fits(x_BD, self.head_weight)

    def step_logits(self, x_BD: Tensor) -> Tensor:
        """Return the logits of one token, final norm and head in one launch where our kernels run."""
        if self.has_fused_head(x_BD):
            return projected(x_BD, self.head_weight, norm_weight_D=self.norm.weight, eps=self.norm.eps)
        return self.logits(x_BD)


def _require_tokens(tokens_BT: Tensor) -> None:
    if tokens_BT.ndim != 2 or not tokens_BT.shape[1]:
        raise SpecError(f"tokens_BT must be [batch, tokens] with at least one token; got {tuple(tokens_BT.shape)}.")


def _require_batch(tokens: Tensor, state: ModelState) -> None:
    if tokens.shape[0] != state.batch_size:
        raise StateError(
            f"A state is of one batch: it was made for {state.batch_size} sequences; got {tokens.shape[0]}. "
            "Make one for this batch."
        )
