"""Format `spec`: an architecture with where it comes from, as YAML or JSON that every ARCH argument reads.

The same document stands in every folder with weights, so that a model can always be traced back.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import yaml

from nas.candidates import Record
from nas.errors import RunDirectoryError
from nas.run import Run
from search_spaces import Architecture

SCHEMA_VERSION: Final = 1

SPEC_FILE: Final = "hybridnas.json"
"""What the document is called in a folder with weights; in a frontier's folder, the list of its models."""


def spec_document(run: Run, record: Record[Any]) -> dict[str, Any]:
    """Return the architecture of one finished trial with its provenance, JSON-ready.

    Raises:
        RunDirectoryError: the run does not say what it was made with, or has no latency table.
    """
    try:
        environment = run.environment()
        surroundings = {name: environment[name] for name in ("corpus", "packages", "date")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunDirectoryError(
            f"{run.directory.environment} cannot be read ({type(error).__name__}: {error}). Restore it from a copy."
        ) from error
    table = run.table()
    workload = run.config.latency.workload
    validation = table.validation(workload)
    return document(
        Architecture.from_dict(record.candidate.description["target"]),
        {
            "search": run.config.name,
            "study": run.config.study_name,
            "trial": record.number,
            "fingerprint": record.candidate.fingerprint,
            "genome": run.space.to_dict(record.genome),
            "scores": dict(record.objectives),
            "num_evaluations": record.num_evaluations,
            "deviation": record.deviation,
            "score_details": {name: value for name, value in record.details.items() if name != "curve"},
            "predicted_latency_ms": record.objectives.get("latency_ms"),
            "measured_latency_ms": run.measured_ms().get(record.candidate.fingerprint),
            "latency_by_operator": record.candidate.description["latency_by_operator"],
            "workload": workload.to_dict(),
            "device": table.fingerprint.to_dict(),
            "latency_table": {
                "sha256": hashlib.sha256(run.directory.latency.read_bytes()).hexdigest(),
                "rows": len(table),
                "validation": None if validation is None else validation.describe(),
            },
            "proxy": run.config.proxy.model_dump(mode="json"),
            "corpus": surroundings["corpus"],
            "seed": record.candidate.seed,
            "packages": surroundings["packages"],
            "date": surroundings["date"],
        },
    )


def document(architecture: Architecture, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of an architecture that comes from anywhere."""
    return {
        "schema_version": SCHEMA_VERSION,
        "architecture": architecture.to_dict(),
        "provenance": dict(provenance),
    }


def spec_text(content: Mapping[str, Any], *, as_json: bool) -> str:
    """Return the document as JSON, or as YAML."""
    if as_json:
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=100)
