"""`nas latency predict`: what a workload takes with one architecture, in time and in memory."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.latency.options import (
    BatchSize,
    DtypeName,
    GeneratedTokens,
    HiddenSize,
    PhaseName,
    PromptTokens,
    TableFile,
    VocabSize,
)
from nas.cli.options import Json


def predict(
    arch: Annotated[
        str, typer.Argument(metavar="ARCH", help="A reference, a spec file or a pattern.", show_default=False)
    ],
    table: TableFile = Path("latency.parquet"),
    hidden_size: HiddenSize = None,
    vocab_size: VocabSize = None,
    phase: PhaseName = "decode",
    batch_size: BatchSize = 1,
    prompt_tokens: PromptTokens = 0,
    generated_tokens: GeneratedTokens = 1024,
    dtype: DtypeName = "float32",
    as_json: Json = False,
) -> None:
    """Predict what a workload takes with one architecture, and where the time and the memory go."""
    import json

    from latency.memory import GIB, largest_batch_of, workload_memory
    from latency.predict import predict as predict_latency
    from latency.table import LatencyTable
    from latency.workload import Workload
    from nas.architectures import load_architecture
    from nas.cli.text_table import text_table
    from search_spaces.errors import SpecError

    architecture = load_architecture(arch, hidden_size=hidden_size, vocab_size=vocab_size)
    workload = Workload(
        phase=phase,
        batch_size=batch_size,
        prompt_tokens=prompt_tokens,
        generated_tokens=generated_tokens,
        dtype=dtype,
    )
    loaded = LatencyTable.load(table)
    prediction = predict_latency(architecture, workload, loaded)
    device = loaded.fingerprint
    memory, most, unknown = None, None, ""
    try:
        memory = workload_memory(architecture, workload, device=device.kind)
        if device.memory_bytes:
            most = largest_batch_of(architecture, workload, memory_bytes=device.memory_bytes, device=device.kind)
    except SpecError as error:
        unknown = str(error)
    if as_json:
        content = prediction.to_dict() | {"device": device.to_dict(), "largest_batch": most}
        typer.echo(json.dumps(content | {"memory_bytes": memory and memory.to_dict()}, indent=2))
        return
    interval = prediction.interval_ms
    bounds = "table not validated, no interval" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"
    rows = [
        [name, f"{ms:.3f}", f"{ms / prediction.milliseconds:.0%}"]
        for name, ms in sorted(prediction.by_operator.items(), key=lambda part: -part[1])
    ]
    typer.echo(f"{architecture.pattern}, width {architecture.hidden_size}")
    typer.echo(f"{workload.describe()} on {loaded.fingerprint.describe()}")
    typer.echo(f"{prediction.milliseconds:.2f} ms ({bounds}), {prediction.tokens_per_second:.1f} tokens/s\n")
    typer.echo(text_table(["operator", "ms", "share"], rows, right=[False, True, True]))
    if memory is not None:
        parts = [[name.replace("_", " "), f"{size / GIB:.3f}"] for name, size in memory.to_dict().items()]
        typer.echo("\n" + text_table(["memory", "GiB"], parts, right=[False, True]))
    if most is not None:
        typer.echo(f"\nLargest batch in {device.memory_bytes / GIB:.1f} GiB: {most}")
    if unknown:
        typer.echo(f"\n{unknown}")
