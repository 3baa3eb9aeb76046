"""Export format `spec`: the architecture with where it comes from, as YAML that every ARCH argument reads."""

from typing import Any

import yaml

from nas.candidates import Record
from nas.run import Run

SCHEMA_VERSION = 1


def spec_document(run: Run, record: Record[Any]) -> dict[str, Any]:
    """Return the architecture of one finished trial with its provenance, JSON-ready."""
    environment = run.environment()
    return {
        "schema_version": SCHEMA_VERSION,
        "architecture": record.candidate.description["target"],
        "provenance": {
            "search": run.config.name,
            "trial": record.number,
            "fingerprint": record.candidate.fingerprint,
            "genome": run.space.to_dict(record.genome),
            "scores": dict(record.objectives),
            "score_details": {name: value for name, value in record.details.items() if name != "curve"},
            "measured_latency_ms": run.measured_ms().get(record.candidate.fingerprint),
            "latency_by_operator": record.candidate.description["latency_by_operator"],
            "workload": run.config.latency.workload.to_dict(),
            "device": run.table().fingerprint.to_dict(),
            "proxy": run.config.proxy.model_dump(mode="json"),
            "corpus": environment["corpus"],
            "seed": record.candidate.seed,
            "packages": environment["packages"],
            "date": environment["date"],
        },
    }


def spec_yaml(run: Run, record: Record[Any]) -> str:
    """Return the document as YAML."""
    return yaml.safe_dump(spec_document(run, record), sort_keys=False, allow_unicode=True, width=100)
