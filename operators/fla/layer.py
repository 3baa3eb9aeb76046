"""Any layer of flash-linear-attention as an operator, `fla:kda` in a pattern. It runs on a GPU only.

For fla each is the first layer of its model: what some layers hand on to later ones (the first values of RWKV-7) is
neither made nor read. Not every layer can do everything; what one cannot is an error that says so.
"""

import inspect
from typing import Any, ClassVar, Final, final

import torch
from torch import Tensor, nn

from operators.base import Operator, StateError, StateRequest
from operators.context import Documents, SequenceContext
from operators.fla.classes import build_layer
from operators.fla.packing import of_every_document, one_row, rows
from operators.fla.state import FlaState, put_together, take_apart
from operators.initialization import draw_writing
from search_spaces.errors import SpecError
from search_spaces.specs import FlaSpec

ONE_TOKEN_AT_A_TIME: Final = frozenset({"log_linear_mamba2", "mamba3"})
"""Layers that go on from a state by single tokens only."""

NEVER_RESUMES_PACKED: Final = ONE_TOKEN_AT_A_TIME | {"rwkv6"}
"""Layers whose packed documents start from nothing, so that there can be no meta tokens before them."""

WRITING_NAMES: Final = frozenset({"o_proj", "out_proj", "output_proj"})
"""What fla calls the projection back to the residual stream."""

SAME: Final = 1e-2
"""Largest difference, relative to the largest output, between no state and one of zeros."""


@final
class FlaLayer(Operator[FlaState]):
    """A layer of fla behind the interface of an operator."""

    sequence_backends: ClassVar[tuple[str, ...]] = ("fla",)
    step_backends: ClassVar[tuple[str, ...]] = ("fla",)

    def __init__(self, spec: FlaSpec, *, hidden_size: int, norm_eps: float, backend: str) -> None:
        super().__init__()
        self.spec = spec
        self.hidden_size = hidden_size
        self.norm_eps = norm_eps
        self.layer = build_layer(spec, hidden_size=hidden_size, norm_eps=norm_eps)
        self.backends = self.choose(backend)
        self._writing()

    def forward(self, x_BTD: Tensor, *, state: FlaState | None = None, context: SequenceContext) -> Tensor:
        """Return the outputs for a chunk.

        Raises:
            SpecError: the layer cannot do it.
            UnavailableError: it cannot run on tensors of this device and dtype.
        """
        self.backends.at("sequence", x_BTD)
        if context.documents is not None:
            return self._packed(x_BTD, context.meta_tokens_before_documents(state), context.documents)
        if state is None:
            return self._call(x_BTD, cache=None)
        if self.spec.layer not in ONE_TOKEN_AT_A_TIME:
            return self._continue(x_BTD, state)
        return torch.cat([self._continue(x_B1D, state) for x_B1D in torch.split(x_BTD, 1, dim=1)], dim=1)

    @torch.no_grad()
    def step(self, x_BD: Tensor, state: FlaState) -> Tensor:
        """Return the output for one token."""
        self.backends.at("step", x_BD)
        return self._continue(x_BD[:, None], state)[:, 0]

    @torch.no_grad()
    def make_state(self, request: StateRequest) -> FlaState:
        """Return a state of zeros, shaped like what the layer keeps after one token.

        Raises:
            SpecError: the layer keeps what grows with the sequence or counts tokens on the host, or nothing, or
                zeros are not its state before the first token.
            UnavailableError: it cannot run on that device.
        """
        name = self.spec.layer
        if self._mentions("get_seq_length"):
            raise SpecError(f"fla:{name} counts its tokens on the host, so it cannot decode here. Use another layer.")
        dtype = self._writing().weight.dtype
        x_B1D = torch.randn(request.batch_size, 1, self.hidden_size, generator=torch.Generator().manual_seed(0))
        x_B1D = x_B1D.to(request.device, dtype)
        self.backends.at("step", x_B1D)
        cache = _new_cache()
        y_B1D = self._call(x_B1D, cache=cache)
        entry = _entry(cache)
        if entry is None or entry.get("attn_state") is not None:
            kept = "nothing" if entry is None else "keys and values of every token"
            raise SpecError(f"fla:{name} keeps {kept} between calls, so it cannot decode here. Use another layer.")
        layout, parts = take_apart(entry)
        state = FlaState(parts=tuple(torch.zeros_like(part) for part in parts), layout=layout)
        from_zeros_B1D = self._continue(x_B1D, state)
        if not (from_zeros_B1D - y_B1D).abs().max() <= SAME * y_B1D.abs().max():
            raise SpecError(f"fla:{name} does not start from a state of zeros, so it cannot decode here.")
        state.reset_()
        return state

    def reads_residual(self) -> tuple[Tensor, ...]:
        """Return every linear map from the model's width but the output projection; token shifts before it count."""
        writing = self._writing()
        return tuple(
            module.weight
            for module in self.layer.modules()
            if isinstance(module, nn.Linear) and module is not writing and module.in_features == self.hidden_size
        )

    def writes_residual(self) -> tuple[Tensor, ...]:
        """Return the output projection: the linear map to the model's width that fla calls `o_proj` or alike."""
        return (self._writing().weight,)

    def inner_matrices(self) -> tuple[Tensor, ...]:
        """Return every parameter of two and more axes that is neither of both: fla does not say more of them."""
        declared = {id(weight) for weight in (*self.reads_residual(), *self.writes_residual())}
        return tuple(weight for weight in self.parameters() if weight.ndim >= 2 and id(weight) not in declared)

    def initialize(self, *, generator: torch.Generator, depth: int) -> None:
        """Take fla's own initial weights, but for the output projection, which is drawn as everywhere."""
        writing = self._writing()
        if writing.weight.device.type != "meta":
            self._take_initial_values(seed=int(torch.randint(2**62, (), generator=generator)), depth=depth)
        draw_writing(writing, generator=generator, depth=depth)

    @torch.no_grad()
    def _take_initial_values(self, *, seed: int, depth: int) -> None:
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.default_generator.manual_seed(seed)
            fresh = build_layer(self.spec, hidden_size=self.hidden_size, norm_eps=self.norm_eps, depth=depth)
        for mine, drawn in (
            (dict(self.layer.named_parameters()), dict(fresh.named_parameters())),
            (dict(self.layer.named_buffers()), dict(fresh.named_buffers())),
        ):
            for name, tensor in drawn.items():
                mine[name].copy_(tensor)

    def _writing(self) -> nn.Linear:
        found = [
            module
            for name, module in self.layer.named_modules()
            if isinstance(module, nn.Linear)
            and name.rpartition(".")[2] in WRITING_NAMES
            and module.out_features == self.hidden_size
        ]
        if len(found) != 1:
            raise SpecError(
                f"An operator has one output projection; fla:{self.spec.layer} has {len(found)} maps to its width "
                f"called {' or '.join(sorted(WRITING_NAMES))}. Use another layer."
            )
        return found[0]

    def _mentions(self, word: str) -> bool:
        """Whether the layer's code, or that of a layer it derives from, contains a word."""
        classes = (cls for cls in type(self.layer).__mro__ if cls.__module__.partition(".")[0] == "fla")
        return any(word in inspect.getsource(cls) for cls in classes)

    def _packed(self, x_BTD: Tensor, num_meta_tokens: int, documents: Documents) -> Tensor:
        if not self._mentions("cu_seqlens"):
            raise SpecError(
                f"fla:{self.spec.layer} knows no packed documents. Train it on unpacked ones, or use another layer."
            )
        if num_meta_tokens and self.spec.layer in NEVER_RESUMES_PACKED:
            raise SpecError(
                f"fla:{self.spec.layer} starts packed documents from nothing, not from {num_meta_tokens} meta tokens. "
                "Train it on unpacked documents or without meta tokens, or use another layer."
            )
        meta_BMD, rest_BTD = x_BTD[:, :num_meta_tokens], x_BTD[:, num_meta_tokens:]
        cache, outputs = None, []
        if num_meta_tokens:
            cache = _new_cache()
            outputs.append(self._call(meta_BMD, cache=cache))
            layout, parts = take_apart(_entry(cache))
            cache = _new_cache(put_together(layout, [_repeated(part, documents) for part in parts]))
        y_1SD = self._call(one_row(rest_BTD), cache=cache, cu_seqlens=documents.cu_seqlens)
        return torch.cat((*outputs, rows(y_1SD, documents)), dim=1)

    def _continue(self, x_BTD: Tensor, state: FlaState) -> Tensor:
        """Return the outputs for the next tokens, moving the state on in place."""
        cache = _new_cache(put_together(state.layout, state.parts))
        y_BTD = self._call(x_BTD, cache=cache)
        layout, parts = take_apart(_entry(cache))
        if layout != state.layout:
            raise StateError(f"fla:{self.spec.layer} keeps {layout} after {x_BTD.shape[1]} tokens, not {state.layout}.")
        with torch.no_grad():
            for mine, new in zip(state.parts, parts, strict=True):
                # Some kernels write into the very tensor they were given.
                if new is not mine:
                    mine.copy_(new)
        return y_BTD

    def _call(self, x_BTD: Tensor, *, cache: Any, **packing: Tensor) -> Tensor:
        try:
            y_BTD: Tensor = self.layer(x_BTD, past_key_values=cache, use_cache=cache is not None, **packing)[0]
        except (AssertionError, NotImplementedError, TypeError, ValueError) as error:
            packed = ", packed," if packing else ""
            raise SpecError(
                f"fla:{self.spec.layer} refuses {tuple(x_BTD.shape)}{packed} with{'' if cache else 'out'} a state: "
                f"{error} Use another layer."
            ) from error
        return y_BTD


def _new_cache(entry: dict[str, Any] | None = None) -> Any:
    """Return fla's cache, empty or with an entry for its first layer."""
    from fla.models.utils import Cache

    cache = Cache()
    if entry is not None:
        cache.update(layer_idx=0, offset=0, **{key: value for key, value in entry.items() if value is not None})
    return cache


def _entry(cache: Any) -> dict[str, Any] | None:
    return cache[0] if len(cache) else None


def _repeated(part_B: Tensor, documents: Documents) -> Tensor:
    repeated_N = of_every_document(part_B, documents)
    assert repeated_N is not None
    return repeated_N
