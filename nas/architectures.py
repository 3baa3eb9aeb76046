"""Find the architecture a user names: a published one, a spec file, or a pattern with a width."""

from pathlib import Path
from typing import Final

from nas.errors import UsageError
from search_spaces import Architecture, SpecError, architecture_from_pattern
from search_spaces.errors import near_miss
from search_spaces.references import load_reference, reference_names
from search_spaces.yaml_reading import read_yaml

DEFAULT_VOCAB_SIZE: Final = 131_072
"""Of a pattern for which none is given: Nemotron-Flash's."""


def load_architecture(name: str, *, hidden_size: int | None = None, vocab_size: int | None = None) -> Architecture:
    """Return the architecture that `name` means.

    Args:
        name: a reference such as `nemotron-flash-1b`, a spec file, or a pattern such as `(d f m2 f)x6`.
        hidden_size: width of a pattern.
        vocab_size: vocabulary of a pattern; 131072 where none is given.

    Raises:
        UsageError: it is none of the three, or a width is missing or given for something that has its own.
        SpecError: the file or pattern breaks a rule.
    """
    if name in reference_names() or Path(name).is_file():
        if hidden_size is not None or vocab_size is not None:
            raise UsageError(f"--hidden-size and --vocab-size go with a pattern; {name!r} has its own.")
        return load_reference(name) if name in reference_names() else _read_spec(Path(name))
    if hidden_size is not None:
        return architecture_from_pattern(
            name, hidden_size=hidden_size, vocab_size=DEFAULT_VOCAB_SIZE if vocab_size is None else vocab_size
        )
    raise UsageError(
        f"{name!r} is neither a reference nor a file, and a pattern needs --hidden-size."
        f"{near_miss(name, reference_names())}"
    )


def _read_spec(path: Path) -> Architecture:
    """Read an architecture from YAML or JSON, on its own or as `nas export --format spec` writes it."""
    try:
        content = read_yaml(path.read_text(encoding="utf-8"), where=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"The spec file {path} cannot be read: {error}.") from error
    return Architecture.from_dict(content.get("architecture", content))
