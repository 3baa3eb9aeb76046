"""Candidates side by side, and studies over each other."""

from collections.abc import Mapping

from dashboards.elements import Element
from dashboards.frame import Results
from dashboards.view import View


def compare_view(results: Results, view: View, overlaid: Mapping[str, Results]) -> list[Element]:  # noqa: ARG001
    """Return the sections of the comparison."""
    return []
