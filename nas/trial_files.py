"""What a run keeps of each trial outside the study: a log to read and the learning curve as CSV."""

import csv
import io
from typing import Any

from nas.candidates import Record
from nas.run_directory import RunDirectory, write_atomically
from search_spaces import Architecture


def write_trial_files(directory: RunDirectory, record: Record[Any]) -> None:
    """Write `trials/N/log.txt`, and `curve.csv` where there is a learning curve."""
    folder = directory.trial(record.number)
    write_atomically(folder / "log.txt", "\n".join(_lines(record)) + "\n")
    curve = record.details.get("curve")
    if curve:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["tokens", "training_loss", "validation_loss"])
        writer.writerows(curve)
        write_atomically(folder / "curve.csv", text.getvalue())


def _lines(record: Record[Any]) -> list[str]:
    candidate, proposal = record.candidate, record.candidate.proposal
    lines = [f"trial {record.number}: {record.status}", f"fingerprint {candidate.fingerprint}, seed {candidate.seed}"]
    if "target" in candidate.description:
        target = Architecture.from_dict(candidate.description["target"])
        lines.append(f"{target.pattern}, width {target.hidden_size}")
    match proposal.origin:
        case "mutation":
            lines.append(f"mutated from trial {proposal.parent}: {proposal.mutation}")
        case "repeat":
            lines.append(f"trial {proposal.repeat_of} again, under another seed")
        case origin:
            lines.append(f"origin: {origin}")
    lines += [f"{name} {value:.6g}" for name, value in record.objectives.items()]
    lines += [f"{name} {value}" for name, value in record.details.items() if name != "curve"]
    if record.expected is not None:
        lines.append(f"stopped early, {record.expected:.6g} expected of the first objective")
    lines += [f"begun once more after: {failure.kind}: {failure.message}" for failure in record.attempts]
    if record.failure is not None:
        lines += [f"failure: {record.failure.kind}", record.failure.message]
    return lines
