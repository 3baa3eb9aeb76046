"""Read a configuration strictly from YAML: every problem named with its line, its value and what was probably meant.

What a configuration may say is its model's affair: `config.py` for searches, `winners/recipe.py` for trainings.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from nas.errors import ConfigError
from nas.yaml_lines import key_lines
from search_spaces.errors import near_miss
from search_spaces.yaml_reading import read_yaml

M = TypeVar("M", bound=BaseModel)


def read_strictly(model: type[M], text: str, *, where: str, overrides: Sequence[str] = ()) -> M:
    """Read a configuration from YAML.

    Args:
        model: what it may say.
        text: the YAML document.
        where: names the document in errors.
        overrides: `a.b=c` with a YAML value, applied before checking.

    Raises:
        ConfigError: an unknown or duplicate key (with line and near miss), a missing key, a wrong type or value.
    """
    content: dict[str, Any] = read_yaml(text, where=where)
    overridden = [_override(content, assignment) for assignment in overrides]
    try:
        return model.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        lines = key_lines(text)
        every = error.errors(include_url=False)
        # A list whose items are wrong also counts as too short, for the wrong ones are not counted.
        found = [
            each
            for each in every
            if each["type"] != "default_factory_not_called"
            and not (each["type"] == "too_short" and any(_is_inside(other["loc"], each["loc"]) for other in every))
        ]
        problems = [_describe(problem, lines, overridden, schema=model.model_json_schema()) for problem in found]
        raise ConfigError(f"{where}: " + "\n".join(problems)) from None


def _is_inside(inner: Sequence[Any], outer: Sequence[Any]) -> bool:
    return len(inner) > len(outer) and tuple(inner[: len(outer)]) == tuple(outer)


def _override(content: dict[str, Any], assignment: str) -> tuple[str, ...]:
    key, separator, value = assignment.partition("=")
    path = tuple(key.strip().split("."))
    if not separator or not all(path):
        raise ConfigError(f"--set takes a.b=value; got {assignment!r}.")
    target = content
    for part in path[:-1]:
        if not isinstance(target.setdefault(part, {}), dict):
            raise ConfigError(f"--set {assignment}: {part!r} holds a value, not a section.")
        target = target[part]
    target[path[-1]] = read_yaml(f"value: {value}", where=f"--set {assignment}")["value"]
    return path


def _describe(
    problem: Mapping[str, Any],
    lines: Mapping[tuple[str | int, ...], int],
    overridden: Sequence[tuple[str, ...]],
    *,
    schema: dict[str, Any],
) -> str:
    """Return one line about one thing pydantic found wrong."""
    # Pydantic adds the chosen member of a union to the path; such parts are no keys of the document.
    path = tuple(part for part in problem["loc"] if not (isinstance(part, str) and (part == "str" or "[" in part)))
    name = ".".join(map(str, path)) or "the configuration"
    place = next((path[:length] for length in range(len(path), 0, -1) if path[:length] in lines), None)
    prefix = "" if place is None else f"line {lines[place]}, "
    if any(path[: len(each)] == each for each in overridden):
        prefix = "--set, "
    match problem["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument":
            return f"{prefix}unknown key {name!r}.{near_miss(str(path[-1]), _known_keys(path[:-1], schema))}"
        case "missing":
            return f"{prefix}{name} is missing. Add it."
        case "value_error":
            # Our own errors say rule, value and remedy themselves.
            return f"{prefix}{name}: {problem['ctx']['error']}"
        case _:
            return f"{prefix}{name}: {problem['msg']}; got {problem['input']!r}."


def _known_keys(path: Sequence[str | int], schema: dict[str, Any]) -> list[str]:
    """Return the keys allowed in the section at `path`, from the schema."""
    node = schema
    for part in path:
        node = node["items"] if isinstance(part, int) else node["properties"][part]
        # A section that may be left out is one of two.
        node = next((member for member in node.get("anyOf", ()) if member.get("type") != "null"), node)
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    return list(node["properties"])
