"""Where each key of a YAML document stands, so that an error about it can name the line."""

import yaml


def key_lines(text: str) -> dict[tuple[str | int, ...], int]:
    """Return the line, from 1, of every key and list item by its path. The document must be valid YAML."""
    lines: dict[tuple[str | int, ...], int] = {}
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is not None:
        _collect(root, (), lines)
    return lines


def _collect(node: yaml.Node, path: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = (*path, key.value)
            lines[place] = key.start_mark.line + 1
            _collect(value, place, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            place = (*path, index)
            lines[place] = value.start_mark.line + 1
            _collect(value, place, lines)
