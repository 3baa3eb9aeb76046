"""Workload: what latency means for one search.

It says what is run, not on which device: the device belongs to the latency table.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, get_args

from search_spaces.errors import SpecError, near_miss
from search_spaces.strict import from_mapping

Phase = Literal["prefill", "decode"]
WorkloadPhase = Literal["prefill", "decode", "both"]
Dtype = Literal["float32", "bfloat16", "float16"]

MAX_DECODE_POINTS = 5

PREFILL_CHUNK_TOKENS: Final = 8192
"""Prompts with more tokens, over all sequences, are read in pieces, so that activations stay bounded."""


def chunk_length(batch_size: int, *, chunk_tokens: int = PREFILL_CHUNK_TOKENS) -> int:
    """Return how many tokens of each sequence are read at once."""
    return max(1, chunk_tokens // batch_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A prompt of `prompt_tokens` processed at once, then `generated_tokens` decode steps, for `batch_size` sequences.

    `prefill` counts the first part only, `decode` the second (with the prompt already in the cache), `both` the sum.
    """

    phase: WorkloadPhase
    batch_size: int = 1
    prompt_tokens: int = 0
    generated_tokens: int = 0
    dtype: Dtype = "float32"

    def __post_init__(self) -> None:
        for name in ("phase", "dtype"):
            known = get_args({"phase": WorkloadPhase, "dtype": Dtype}[name])
            value = getattr(self, name)
            if value not in known:
                raise SpecError(f"Workload.{name} is unknown: {value!r}.{near_miss(str(value), known)}")
        for name, least in (("batch_size", 1), ("prompt_tokens", 0), ("generated_tokens", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise SpecError(f"Workload.{name} must be an integer of at least {least}; got {value!r}.")
        if self.has_prefill and self.prompt_tokens < 1:
            raise SpecError(f"A {self.phase} workload needs prompt_tokens of at least 1; got {self.prompt_tokens}.")
        if self.has_decode and self.generated_tokens < 1:
            raise SpecError(
                f"A {self.phase} workload needs generated_tokens of at least 1; got {self.generated_tokens}."
            )
        if self.phase == "prefill" and self.generated_tokens:
            raise SpecError(
                f"A prefill workload generates nothing; got generated_tokens {self.generated_tokens}. "
                "Set it to 0, or phase to both."
            )

    @property
    def has_prefill(self) -> bool:
        """Whether processing the prompt counts."""
        return self.phase != "decode"

    @property
    def has_decode(self) -> bool:
        """Whether generating counts."""
        return self.phase != "prefill"

    @property
    def max_tokens(self) -> int:
        """Tokens the caches must hold at the end, meta tokens excluded."""
        return self.prompt_tokens + self.generated_tokens

    @property
    def prefill_lengths(self) -> tuple[int, ...]:
        """The sequence lengths whose prefill time is needed; meta tokens are in the cache before a prompt comes."""
        return (self.prompt_tokens,) if self.has_prefill else ()

    def contexts(self, *, num_meta_tokens: int = 0) -> tuple[int, ...]:
        """Return the context lengths at which a decode step is measured, ascending.

        The first is the cache before the first generated token, the last the cache after the last one; between them the
        end is halved repeatedly, since a cache that grew many times over may meet a change of slope on its way.
        """
        if not self.has_decode:
            return ()
        first = self.prompt_tokens + num_meta_tokens
        last = first + self.generated_tokens
        points = [first, last]
        middle = last // 2
        while len(points) < MAX_DECODE_POINTS and middle > 1.25 * first:
            points.append(middle)
            middle //= 2
        return tuple(sorted(set(points)))

    def shortened(self, *, generated_tokens: int) -> "Workload":
        """Return the same workload with at most so many generated tokens: its first steps stand for all."""
        return replace(self, generated_tokens=min(self.generated_tokens, generated_tokens))

    def describe(self) -> str:
        """Return short words, such as `prefill 512 + decode 64, batch 1, float32`."""
        prefill = f"prefill {self.prompt_tokens}"
        decode = f"decode {self.generated_tokens}"
        words = {"prefill": prefill, "decode": f"{decode} after {self.prompt_tokens}", "both": f"{prefill} + {decode}"}
        return f"{words[self.phase]}, batch {self.batch_size}, {self.dtype}"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping that `from_dict` reads back unchanged."""
        return asdict(self)

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "Workload":
        """Read what `to_dict` wrote.

        Raises:
            SpecError: an unknown or missing key, or a value out of range.
        """
        return from_mapping(cls, mapping, where="workload")
