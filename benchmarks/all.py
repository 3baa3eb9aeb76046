"""Run every benchmark a device can run, one process each, and keep their documents.

Resumable: a benchmark whose document of this commit and device is there already is not run again, so an interrupted
session on a rented GPU goes on where it stopped.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.document import versions
from benchmarks.resumable import MORE_TO_DO

BENCHMARKS: Final = {
    "cpu": (
        "operators",
        "weight_norm",
        "training_memory",
        "loader",
        "latency_prediction",
        "engine_scale",
        "dashboard",
        "search_efficiency",
        "scaling_law",
        "probes",
        "halving",
        "proxy_fidelity",
        "weight_normalization",
        "meta_tokens",
        "demo",
        "winner",
    ),
    "cuda": (
        "operators",
        "projections",
        "decode_steps",
        "decode_attention",
        "weight_norm",
        "training_memory",
        "backends --mixer d",
        "backends --mixer gd",
        "backends --mixer m2",
        "backends --mixer m1",
        "decode --model nemotron-flash-1b",
        "decode --model qwen3-0.6b",
        "latency_prediction",
        "training_throughput",
        "short_training",
    ),
}
"""By device, in the order to run: what checks correctness first. A name may carry arguments."""

MINUTES: Final = {"cuda": {"latency_prediction": 8.5}}
"""By device and name: after how many minutes a benchmark that keeps what it measured stops, to go on in a next run."""

RESULTS: Final = Path(__file__).parent / "results"


def main() -> int:
    """Run what is missing; return 1 if a claim does not hold or a benchmark fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=tuple(BENCHMARKS), default="cpu")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--again", action="store_true", help="run also what has a document of this commit")
    options = parser.parse_args()
    commit = versions()["commit"]
    failed = []
    for name in BENCHMARKS[options.device]:
        module, *arguments = name.split()
        kept = RESULTS / f"{'-'.join((module, *arguments[1::2]))}-{options.device}.json"
        if not options.again and _commit_of(kept) == commit:
            sys.stdout.write(f"{name}: kept, {kept}\n")
            continue
        command = [sys.executable, "-m", f"benchmarks.{module}", *arguments, "--device", options.device, "--json"]
        if (minutes := MINUTES.get(options.device, {}).get(name)) is not None:
            command += ["--minutes", str(minutes)]
        result = subprocess.run([*command, *(["--full"] if options.full else [])], capture_output=True, text=True)
        sys.stderr.write(result.stderr)
        if result.stdout:
            kept.write_text(result.stdout, encoding="utf-8")
        for claim in json.loads(result.stdout)["claims"] if result.stdout else []:
            verdict = "holds" if claim["holds"] else "FAILS"
            sys.stdout.write(
                f"{name}: {claim['claim']}: {claim['value']:.4g} against {claim['bound']:.4g}, {verdict}\n"
            )
        if result.returncode:
            failed.append(name)
            is_unfinished = result.returncode == MORE_TO_DO
            sys.stdout.write(f"{name}: {'run again' if is_unfinished else f'exit code {result.returncode}'}\n")
    return 1 if failed else 0


def _commit_of(document: Path) -> str | None:
    if not document.exists():
        return None
    commit: str = json.loads(document.read_text(encoding="utf-8"))["versions"]["commit"]
    return commit


if __name__ == "__main__":
    sys.exit(main())
