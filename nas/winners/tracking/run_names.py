"""What a training is called by the services it is logged to, kept beside it so that it goes on as the same run."""

import json
from pathlib import Path
from typing import Final

from nas.run_directory import write_atomically

FILE: Final = "tracking.json"


def kept_name(folder: Path, service: str) -> str | None:
    """Return the name of a training at a service; none where it was never logged there."""
    name = _read(folder).get(service)
    return None if name is None else str(name)


def keep_name(folder: Path, service: str, name: str) -> None:
    """Keep the name of a training at a service."""
    write_atomically(folder / FILE, json.dumps({**_read(folder), service: name}, indent=2) + "\n")


def _read(folder: Path) -> dict[str, str]:
    path = folder / FILE
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
