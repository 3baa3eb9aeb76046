"""Search spaces as plain mappings, and the presets that ship with the package.

A configuration may name a preset or hold the same mapping inline. Strict both ways: unknown keys fail.
"""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib.resources import files
from typing import Any

from search_spaces.architecture import spec_from_dict
from search_spaces.depth_width import DepthWidthSpace
from search_spaces.dimensions import Dimensions
from search_spaces.errors import SpecError, near_miss
from search_spaces.free_blocks import FreeBlocks
from search_spaces.layerwise import LayerwiseSpace
from search_spaces.ratio_blocks import RatioBlocks
from search_spaces.references import load_reference
from search_spaces.specs import SPEC_CLASSES, OperatorSpec, spec_to_dict, with_kv_source
from search_spaces.staged import StagedSpace
from search_spaces.strict import from_mapping
from search_spaces.yaml_reading import read_yaml

SCHEMA_VERSION = 1

AnySpace = StagedSpace | DepthWidthSpace | LayerwiseSpace

SPACES: dict[str, type[AnySpace]] = {
    "staged": StagedSpace,
    "depth_width": DepthWidthSpace,
    "layerwise": LayerwiseSpace,
}
"""Every space by the name it has in a configuration."""

GRAMMARS: dict[str, type[RatioBlocks | FreeBlocks]] = {cls.grammar: cls for cls in (RatioBlocks, FreeBlocks)}
"""Every block grammar by name."""


def space_to_dict(space: AnySpace) -> dict[str, Any]:
    """Return a JSON-ready mapping, every limit written out, that `space_from_dict` reads back unchanged."""
    kind = next(name for name, cls in SPACES.items() if type(space) is cls)
    return {"schema_version": SCHEMA_VERSION, "space": kind, **_plain_fields(space)}


def space_from_dict(mapping: Mapping[str, Any], *, where: str = "The space") -> AnySpace:
    """Read what `space_to_dict` wrote, or a shorter mapping that leaves defaults out.

    An entry of a layerwise `menu` is an operator, or the name of a published architecture, which stands for all of its
    operators.

    Raises:
        SpecError: another schema version, an unknown space, key or letter, or limits that allow nothing.
    """
    if not isinstance(mapping, Mapping):
        raise SpecError(f"{where} must be a mapping; got {type(mapping).__name__}.")
    content = dict(mapping)
    version = content.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise SpecError(f"{where}: schema_version must be {SCHEMA_VERSION}; got {version!r}. Write {SCHEMA_VERSION}.")
    kind = content.pop("space", None)
    if not isinstance(kind, str) or kind not in SPACES:
        raise SpecError(f"{where} has the unknown kind space={kind!r}.{near_miss(str(kind), SPACES)}")
    if "dimensions" in content and not isinstance(content["dimensions"], Dimensions):
        content["dimensions"] = from_mapping(Dimensions, content["dimensions"], where=f"{where}.dimensions")
    if kind == "staged" and "blocks" in content:
        content["blocks"] = _grammar_from_dict(content["blocks"], where=f"{where}.blocks")
    if kind == "layerwise" and "menu" in content:
        content["menu"] = _menu_from_list(content["menu"], where=f"{where}.menu")
    return from_mapping(SPACES[kind], content, where=where)


@cache
def preset_names() -> tuple[str, ...]:
    """Return the name of every preset."""
    folder = files("search_spaces") / "presets"
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


@cache
def load_preset(name: str) -> AnySpace:
    """Return a space that ships with the package.

    Raises:
        SpecError: an unknown name, naming the near miss.
    """
    if name not in preset_names():
        raise SpecError(f"No space is called {name!r}.{near_miss(name, preset_names())}")
    where = f"presets/{name}.yaml"
    path = files("search_spaces") / "presets" / f"{name}.yaml"
    return space_from_dict(read_yaml(path.read_text(encoding="utf-8"), where=where), where=where)


def _grammar_from_dict(mapping: Any, *, where: str) -> RatioBlocks | FreeBlocks:
    if not isinstance(mapping, Mapping):
        raise SpecError(f"{where} must be a mapping such as {{grammar: free, mixers: [a, m2]}}; got {mapping!r}.")
    content = dict(mapping)
    grammar = content.pop("grammar", None)
    if not isinstance(grammar, str) or grammar not in GRAMMARS:
        raise SpecError(f"{where} has the unknown grammar {grammar!r}.{near_miss(str(grammar), GRAMMARS)}")
    return from_mapping(GRAMMARS[grammar], content, where=where)


def _menu_from_list(entries: Any, *, where: str) -> tuple[OperatorSpec, ...]:
    if not isinstance(entries, list | tuple):
        raise SpecError(f"{where} must be a list of operators or of published architectures; got {entries!r}.")
    menu: list[OperatorSpec] = []
    for index, entry in enumerate(entries):
        if isinstance(entry, str):
            menu.extend(with_kv_source(spec, None) for spec in load_reference(entry).operators)
        else:
            menu.append(spec_from_dict(entry, where=f"{where}[{index}]"))
    return tuple(dict.fromkeys(menu))


def _plain_fields(item: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(item, field.name)) for field in fields(item)}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    if type(value) in SPEC_CLASSES.values():
        return spec_to_dict(value, omit_defaults=True)
    if isinstance(value, RatioBlocks | FreeBlocks):
        return {"grammar": value.grammar, **_plain_fields(value)}
    if isinstance(value, Dimensions):
        return _plain_fields(value)
    return value
