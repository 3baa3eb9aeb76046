"""What a user names to be followed: run directories and storages, each of its studies under a name of its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import RunDirectoryError, StorageError
from nas.storage.any_reading import studies_of
from nas.storage.url import is_url, masked
from nas.study_format import OBJECTIVES

if TYPE_CHECKING:
    from nas.results.live import Live


def followed(place: str) -> "list[Live]":
    """Return the studies of one place: the one of a run directory, or all that searches wrote into a storage.

    Raises:
        RunDirectoryError: there is nothing, or a folder that is no run.
        ConfigError: a URL of another kind of storage, or a configuration that this version cannot read.
        StorageError: the storage cannot be reached, or holds no study of a search.
    """
    from nas.results.live import LiveRun, LiveStudy

    path = Path(place)
    if not is_url(place) and not path.exists():
        raise RunDirectoryError(f"There is no run directory or storage {place}. Start a search with `nas search`.")
    if not is_url(place) and path.is_dir():
        return [LiveRun(path)]
    studies = studies_of(place)
    found: list[Live] = [
        LiveStudy(place, name=name, attributes=attributes)
        for name, attributes in sorted(studies.items())
        if OBJECTIVES in attributes
    ]
    if not found:
        others = f"; it holds {', '.join(map(repr, sorted(studies)))}, of something else" if studies else ""
        raise StorageError(f"The storage {masked(place)} holds no study of a search{others}. Name another, or a run.")
    return found


def distinct_names(names: Sequence[str], places: Sequence[str]) -> list[str]:
    """Return names that differ: a name that stands for several gets its place behind it, and if need be a number.

    Args:
        names: of studies.
        places: where each lies.
    """
    result: list[str] = []
    for name, place in zip(names, places, strict=True):
        # A link lists names with commas between them, and a terminal obeys what cannot be printed.
        wanted = "".join(one if one.isprintable() and one != "," else " " for one in name or place)
        if names.count(name) > 1:
            wanted = f"{wanted} ({Path(place).name})"
        chosen, count = wanted, 1
        while chosen in result:
            count += 1
            chosen = f"{wanted} {count}"
        result.append(chosen)
    return result
