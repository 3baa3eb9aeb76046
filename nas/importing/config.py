"""A foreign `config.json`, read strictly where it matters: what no operator computes is an error by its name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nas.errors import ModelImportError
from nas.winners.model_folder import MODEL_FILE

CONFIG_FILE: Final = "config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Fields by name. Fields that change nothing that is computed are never asked for."""

    fields: Mapping[str, Any]
    model_type: str

    def value(self, name: str, default: Any = None) -> Any:
        """Return a field as it stands; none there counts as absent."""
        found = self.fields.get(name)
        return default if found is None else found

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a whole number.

        Raises:
            ModelImportError: it is absent and has no default, or is something else.
        """
        found = self.value(name, default)
        if isinstance(found, bool) or not isinstance(found, int):
            raise ModelImportError(f"{self.model_type}: {name} must be a whole number; got {found!r}.")
        return found

    def number(self, name: str, default: float | None = None) -> float:
        """Return a number.

        Raises:
            ModelImportError: it is absent and has no default, or is something else.
        """
        found = self.value(name, default)
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise ModelImportError(f"{self.model_type}: {name} must be a number; got {found!r}.")
        return float(found)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false.

        Raises:
            ModelImportError: it is neither.
        """
        found = self.value(name, default)
        if not isinstance(found, bool):
            raise ModelImportError(f"{self.model_type}: {name} must be true or false; got {found!r}.")
        return found

    def words(self, name: str) -> list[str]:
        """Return a list of words.

        Raises:
            ModelImportError: it is absent or something else.
        """
        found = self.value(name)
        if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
            raise ModelImportError(f"{self.model_type}: {name} must be a list of words; got {found!r}.")
        return found

    def require(self, name: str, *allowed: Any, default: Any) -> None:
        """Refuse a model whose field says what no operator here computes.

        Raises:
            ModelImportError: the field, or its default where it is absent, is not among `allowed`.
        """
        found = self.value(name, default)
        if found not in allowed:
            listed = " or ".join(repr(value) for value in allowed)
            raise ModelImportError(
                f"{self.model_type}: only {name} {listed} can be imported; got {found!r}. No operator here computes it."
            )


def read_config(folder: Path) -> Config:
    """Return the configuration of a folder.

    Raises:
        ModelImportError: there is none, or it does not say what the model is.
    """
    file = folder / CONFIG_FILE
    if (folder / MODEL_FILE).is_file():
        raise ModelImportError(f"{folder} is a checkpoint already. Use it as it is.")
    try:
        fields = json.loads(file.read_text(encoding="utf-8"), object_hook=_with_floats)
    except (OSError, ValueError) as error:
        raise ModelImportError(
            f"A published model is a folder with {CONFIG_FILE} and safetensors; {file} cannot be read: "
            f"{_reason(error)}. Download it first, for example with: hf download NAME --local-dir FOLDER"
        ) from error
    if not isinstance(fields, dict) or not isinstance(fields.get("model_type"), str):
        raise ModelImportError(f"{file} must say the model_type. Is it the configuration of a model?")
    return Config(fields=fields, model_type=fields["model_type"])


def _reason(error: OSError | ValueError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _with_floats(mapping: dict[str, Any]) -> Any:
    """Return what transformers writes for a number that JSON has no word for, such as infinity, as a number."""
    return float(mapping["__float__"]) if mapping.keys() == {"__float__"} else mapping
