"""Build frozen dataclasses from mappings, refusing what they do not define."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from search_spaces.errors import SpecError, near_miss

T = TypeVar("T")


def from_mapping(cls: type[T], mapping: Mapping[str, Any], *, where: str) -> T:
    """Return `cls(**mapping)`.

    Raises:
        SpecError: an unknown or missing key, naming the near miss and `where` it was met.
    """
    if not isinstance(mapping, Mapping):
        raise SpecError(f"{where} must be a mapping; got {type(mapping).__name__}.")
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
    for key in mapping:
        if key not in known:
            raise SpecError(f"{where} has no field {key!r}.{near_miss(str(key), known)}")
    missing = [
        name
        for name, field in known.items()
        if name not in mapping and field.default is MISSING and field.default_factory is MISSING
    ]
    if missing:
        raise SpecError(f"{where} lacks {', '.join(missing)}. Add the missing field(s).")
    return cls(**mapping)
