"""`nas latency predict`: what a workload takes with one architecture, in time and in memory."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    generated_or_default,
)
from nas.cli.options import Json

if TYPE_CHECKING:
    from latency.memory import InferenceMemory
    from latency.predict import Prediction
    from latency.table import LatencyTable
    from latency.throughput import BatchPrediction
    from latency.workload import Workload
    from search_spaces.architecture import Architecture


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
    generated_tokens: GeneratedTokens = None,
    dtype: DtypeName = "float32",
    insist: Annotated[
        bool, typer.Option("--insist", help="Predict also what does not fit, or from rows of other kernels than these.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Predict what a workload takes with one architecture, and where the time and the memory go."""
    import json

    from latency.predict import predict as predict_latency
    from latency.table import LatencyTable
    from latency.workload import Workload
    from nas.architectures import load_architecture

    architecture = load_architecture(arch, hidden_size=hidden_size, vocab_size=vocab_size)
    workload = Workload(
        phase=phase,
        batch_size=batch_size,
        prompt_tokens=prompt_tokens,
        generated_tokens=generated_or_default(generated_tokens, phase=phase),
        dtype=dtype,
    )
    loaded = LatencyTable.load(table)
    loaded.accepts_outdated = insist
    memory, most = _memory(architecture, workload, loaded, insist=insist)
    prediction = predict_latency(architecture, workload, loaded)
    at_most = None if most is None else _at_largest_batch(architecture, workload, loaded)
    if as_json:
        content = {
            **prediction.to_dict(),
            "device": loaded.fingerprint.to_dict(),
            "largest_batch": most,
            "at_largest_batch": at_most and at_most.to_dict(),
            "memory_bytes": memory and memory.to_dict(),
        }
        typer.echo(json.dumps(content, indent=2))
        return
    typer.echo(f"{architecture.pattern}, width {architecture.hidden_size}")
    typer.echo(f"{workload.describe()} on {loaded.fingerprint.describe()}")
    typer.echo(_times(prediction, loaded))
    typer.echo("\n" + _shares(prediction))
    if memory is not None:
        typer.echo("\n" + _memory_parts(memory))
    if most is not None:
        typer.echo(f"\nLargest batch in {_gib(loaded.fingerprint.memory_bytes)}: {most}" + _throughput(at_most))


def _memory(
    architecture: "Architecture", workload: "Workload", table: "LatencyTable", *, insist: bool
) -> "tuple[InferenceMemory | None, int | None]":
    """Return what the workload takes and the largest batch that fits, as far as they are known.

    Raises:
        SpecError: the workload does not fit into the table's device, and nobody insists.
    """
    from latency.memory import largest_batch_of, require_room, workload_memory
    from search_spaces.errors import SpecError

    device = table.fingerprint
    try:
        memory = workload_memory(architecture, workload, device=device.kind)
    except SpecError as error:
        typer.echo(f"warning: {error}", err=True)
        return None, None
    most = None
    if device.memory_bytes:
        try:
            require_room(architecture, workload, memory_bytes=device.memory_bytes, device=device.kind)
            most = largest_batch_of(architecture, workload, memory_bytes=device.memory_bytes, device=device.kind)
        except SpecError as error:
            if not insist:
                raise SpecError(f"{error} To predict it all the same: --insist.") from None
            typer.echo(f"warning: {error}", err=True)
    return memory, most


def _at_largest_batch(
    architecture: "Architecture", workload: "Workload", table: "LatencyTable"
) -> "BatchPrediction | None":
    """Return the prediction there, where the table holds several batches; say so where it lacks that one."""
    from latency.lookup import UnmeasuredError
    from latency.throughput import at_largest_batch, measured_batches

    if len(measured_batches(table, workload)) < 2:
        return None
    try:
        return at_largest_batch(architecture, workload, table)
    except UnmeasuredError as error:
        typer.echo(f"warning: {error}", err=True)
        return None


def _times(prediction: "Prediction", table: "LatencyTable") -> str:
    interval = prediction.interval_ms
    bounds = "table not validated, no interval" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"
    lines = [f"{prediction.milliseconds:.2f} ms ({bounds}), {prediction.tokens_per_second:.1f} tokens/s"]
    bandwidth = table.read_bytes_per_second
    if bandwidth is not None and prediction.floor_ms is not None:
        lines.append(
            f"Reading weights, caches and states at {bandwidth / 1e9:.1f} GB/s takes {prediction.floor_ms:.2f} ms; "
            f"decoding is predicted at {prediction.times_above_floor:.2f} times that"
        )
    elif bandwidth is None and prediction.decode_ms:
        lines.append("No memory floor: the device's bandwidth is not in the table; `nas latency profile` adds it")
    return "\n".join(lines)


def _shares(prediction: "Prediction") -> str:
    from nas.cli.text_table import text_table

    rows = [
        [name, f"{ms:.3f}", f"{ms / prediction.milliseconds:.0%}"]
        for name, ms in sorted(prediction.by_operator.items(), key=lambda part: -part[1])
    ]
    return text_table(["operator", "ms", "share"], rows, right=[False, True, True])


def _memory_parts(memory: "InferenceMemory") -> str:
    from latency.memory import GIB
    from nas.cli.text_table import text_table

    parts = [[name.replace("_", " "), f"{size / GIB:.3f}"] for name, size in memory.to_dict().items()]
    return text_table(["memory", "GiB"], parts, right=[False, True])


def _gib(num_bytes: int) -> str:
    from latency.memory import GIB

    return f"{num_bytes / GIB:.1f} GiB"


def _throughput(found: "BatchPrediction | None") -> str:
    if found is None:
        return ""
    return f", {found.prediction.tokens_per_second:.1f} tokens/s ({found.prediction.milliseconds:.2f} ms)"
