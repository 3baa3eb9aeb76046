"""Read YAML without surprises: duplicate keys fail, and `1e-5` is a number.

Only syntax: what the keys mean is checked by whoever asked.
"""

import re
from collections.abc import Hashable
from typing import Any

import yaml

from search_spaces.errors import SpecError


class _Loader(yaml.SafeLoader):
    """The safe loader, stricter."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[Hashable, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise SpecError(f"line {line}: a key must be a word; got {key!r}. Put it in quotes.")
            if key in seen:
                raise SpecError(
                    f"line {line}: the key {key!r} was given in line {seen[key]} already. Keep one of them."
                )
            seen[key] = line
        return super().construct_mapping(node, deep)


# YAML 1.1 reads 1e-5 as text because it lacks a dot.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(text: str, *, where: str) -> dict[str, Any]:
    """Return the mapping a YAML document holds.

    Raises:
        SpecError: not YAML, not a mapping, or a key given twice; the message names `where` and the line.
    """
    try:
        content = yaml.load(text, Loader=_Loader)
    except SpecError as error:
        raise SpecError(f"{where}, {error}") from None
    except yaml.YAMLError as error:
        raise SpecError(f"{where} must be YAML; {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise SpecError(f"{where} must hold a mapping of names to values; got {type(content).__name__}.")
    return content
