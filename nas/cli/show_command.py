"""`nas show`: everything about one trial."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import Json, RunDir

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nas.candidates import Record


def show(
    directory: RunDir,
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="Trial number, `best` or `knee`.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show one trial: architecture, scores, where its latency goes, where it came from."""
    import json

    from nas.errors import UsageError
    from nas.run import Run
    from nas.trial_choice import choose_trials

    run = Run(directory)
    if trial == "frontier":
        raise UsageError(
            f"TRIAL is one trial: a number, best or knee. The frontier is listed by `nas pareto {directory}`."
        )
    record = choose_trials(run.study.history(), trial)[0]
    measured_ms = run.measured_ms().get(record.candidate.fingerprint)
    above = {name: bound for name, bound in run.config.bounds.items() if record.objectives.get(name, 0.0) > bound}
    typer.echo(
        json.dumps(_content(record, measured_ms), indent=2) if as_json else _words(record, measured_ms, above=above)
    )


def _content(record: "Record[Any]", measured_ms: float | None) -> dict[str, Any]:
    proposal = record.candidate.proposal
    return {
        "trial": record.number,
        "status": record.status,
        "origin": proposal.origin,
        "parent": proposal.parent,
        "mutation": proposal.mutation,
        "repeat_of": proposal.repeat_of,
        "fingerprint": record.candidate.fingerprint,
        "seed": record.candidate.seed,
        "objectives": dict(record.objectives),
        "measured_latency_ms": measured_ms,
        "failure": None if record.failure is None else {"kind": record.failure.kind, "message": record.failure.message},
        "attempts": [{"kind": failure.kind, "message": failure.message} for failure in record.attempts],
        "num_evaluations": record.num_evaluations,
        "deviation": record.deviation,
        "details": dict(record.details),
        **record.candidate.description,
    }


def _words(record: "Record[Any]", measured_ms: float | None, *, above: "Mapping[str, float]") -> str:
    from nas.cli.text_table import text_table
    from search_spaces import Architecture

    target = Architecture.from_dict(record.candidate.description["target"])
    proposal = record.candidate.proposal
    origin = {
        "mutation": f"mutated from trial {proposal.parent}: {proposal.mutation}",
        "repeat": f"trial {proposal.repeat_of} under another seed",
    }.get(proposal.origin, proposal.origin)
    lines = [
        f"trial {record.number}: {record.status}",
        f"operators    {target.pattern}",
        f"width        {target.hidden_size}, {target.depth} operators, vocabulary {target.vocab_size:,}",
        f"fingerprint  {record.candidate.fingerprint}",
        f"origin       {origin}",
    ]
    lines += [f"{name:<12} {value:,.6g}" for name, value in record.objectives.items()]
    lines += [f"above        {name}: the bound is {bound:,.6g}" for name, bound in above.items()]
    if record.deviation is not None:
        lines.append(f"perplexity is the mean of {record.num_evaluations} seeds, deviation {record.deviation:.3g}")
    if measured_ms is not None:
        lines.append(f"measured_ms  {measured_ms:,.6g}, the whole model")
    lines += [f"before       {failure.kind}: {failure.message}" for failure in record.attempts]
    if record.failure is not None:
        lines.append(f"failure      {record.failure.kind}: {record.failure.message}")
    parts: dict[str, float] = record.candidate.description["latency_by_operator"]
    total = sum(parts.values())
    rows = [[name, f"{ms:.3f}", f"{ms / total:.0%}"] for name, ms in sorted(parts.items(), key=lambda part: -part[1])]
    lines += ["", text_table(["latency of", "ms", "share"], rows, right=[False, True, True])]
    curve = record.details.get("curve")
    if curve:
        step = max(1, len(curve) // 8)
        points = curve[::-1][::step][::-1]  # counted from the end, which holds the last validation
        rows = [
            [f"{tokens:,}", f"{loss:.4f}", "" if validation is None else f"{validation:.4f}"]
            for tokens, loss, validation in points
        ]
        lines += ["", text_table(["tokens", "training loss", "validation loss"], rows, right=[True] * 3)]
    return "\n".join(lines)
