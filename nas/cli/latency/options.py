"""Options that several latency commands share, and what they mean together."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from latency.plan import MeasurementRequest
    from latency.workload import Workload

TableFile = Annotated[Path, typer.Option("--table", metavar="FILE", help="The latency table (parquet).")]
HiddenSize = Annotated[int | None, typer.Option("--hidden-size", min=1, help="Width, where ARCH is a pattern.")]
VocabSize = Annotated[int | None, typer.Option("--vocab-size", min=1, help="Vocabulary, where ARCH is a pattern.")]
PhaseName = Annotated[Literal["prefill", "decode", "both"], typer.Option("--phase", help="Which part counts.")]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="Sequences at once.")]
PromptTokens = Annotated[int, typer.Option("--prompt-tokens", min=0, help="Tokens of the prompt.")]
BatchSizes = Annotated[
    list[int] | None,
    typer.Option("--batch-size", min=1, help="Sequences at once, 1 if left out; may be repeated to measure several."),
]
GeneratedTokens = Annotated[
    int | None,
    typer.Option("--generated-tokens", min=0, help="Tokens generated after it; 1024 if left out, 0 for a prefill."),
]
DtypeName = Annotated[Literal["float32", "bfloat16", "float16"], typer.Option("--dtype", help="Number format.")]
SpaceName = Annotated[str | None, typer.Option("--space", metavar="NAME", help="A space preset.")]
Architectures = Annotated[
    list[str] | None,
    typer.Option("--arch", metavar="ARCH", help="A reference, a spec file or a pattern; may be repeated."),
]
DeviceName = Annotated[str, typer.Option("--device", metavar="cpu|cuda", help="Where to measure.")]
NumThreads = Annotated[int, typer.Option("--num-threads", min=1, help="CPU threads.")]


GENERATED_TOKENS = 1024
"""Where nothing is said."""


def generated_or_default(generated_tokens: int | None, *, phase: str) -> int:
    """Return the tokens to generate: those asked for, else none for a prefill."""
    if generated_tokens is not None:
        return generated_tokens
    return 0 if phase == "prefill" else GENERATED_TOKENS


def rows_for(
    workload: "Workload", *, space: str | None, names: list[str], hidden_size: int | None, vocab_size: int | None
) -> "list[MeasurementRequest]":
    """Return every row that a space and architectures need under a workload.

    Raises:
        UsageError: neither is given.
    """
    from latency.plan import requests_for_architecture
    from nas.architectures import load_architecture
    from nas.errors import UsageError
    from nas.latency_source import needed_rows
    from search_spaces.presets import load_preset

    if not space and not names:
        raise UsageError("Say what to measure: --space NAME, or --arch ARCH (more than once if you like).")
    rows = needed_rows(workload, load_preset(space)) if space else []
    for name in names:
        architecture = load_architecture(name, hidden_size=hidden_size, vocab_size=vocab_size)
        rows += requests_for_architecture(architecture, workload=workload)
    return list({row.key: row for row in rows}.values())
