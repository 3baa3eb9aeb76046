"""One file of the parts in `code/`: what transformers fetches with a model is best one file that needs no other.

A part's imports of other parts are left out, its other imports go to the top, the rest is taken as it stands.
"""

import ast
from collections import defaultdict
from importlib import resources
from typing import Final

PARTS: Final = (
    "configuration",
    "call",
    "cache",
    "parts",
    "attention",
    "scans",
    "mamba",
    "delta",
    "layers",
    "modeling",
)
"""Each needs only those before it."""

_PACKAGE: Final = "nas.export.hf.code"

_OPENING: Final = '''"""A HybridNAS language model for transformers: configuration, cache, operators, model.

This file is whole and plain torch: of the project that found the architecture it needs nothing. On a GPU it calls
the kernels of flash-linear-attention and mamba-ssm where they are installed and the weights are in 16 bits;
`use_kernels` of the configuration turns that off.

Tensors are named by their axes: B sequences, T tokens, D model width, C channels, H heads, G groups or key-value heads,
K and V widths of keys and values, P and N the two sides of a state, S keys. Padding may stand anywhere in
`attention_mask`: inside, every row is its padding first, then its meta tokens, then its tokens.
"""
'''


def modelling_code() -> str:
    """Return the text of the one file."""
    modules: set[str] = set()
    names: defaultdict[str, set[str]] = defaultdict(set)
    bodies: list[str] = []
    for part in PARTS:
        text = (resources.files(_PACKAGE) / f"{part}.py").read_text(encoding="utf-8")
        nodes = ast.parse(text).body
        outside = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        for node in outside:
            if isinstance(node, ast.Import):
                modules |= {ast.unparse(alias) for alias in node.names}
            elif not str(node.module).startswith(_PACKAGE):
                names[str(node.module)] |= {ast.unparse(alias) for alias in node.names}
        first = next(node for node in nodes[1:] if node not in outside)
        lines = text.splitlines()[_first_line(first) - 1 :]
        bodies.append("\n".join(lines).rstrip())
    lines = [f"import {module}" for module in modules]
    lines += [f"from {module} import {', '.join(sorted(found))}" for module, found in names.items()]
    return "\n\n\n".join((f"{_OPENING}\n{_sorted(lines)}", *bodies)) + "\n"


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _sorted(imports: list[str]) -> str:
    """Return imports of the standard library first; others after a blank line."""
    others = {line for line in imports if line.split()[1].partition(".")[0] in ("torch", "transformers")}

    def key(line: str) -> tuple[bool, str]:
        return line.startswith("from"), line

    return "\n".join((*sorted(set(imports) - others, key=key), "", *sorted(others, key=key)))
