"""Every candidate as numbers, and what they were made with."""

from collections.abc import Mapping

from dashboards.elements import Element, element, slot
from dashboards.frame import Results
from dashboards.parts.table import candidates_table
from dashboards.view import View
from dashboards.views.section import section


def table_view(results: Results, view: View, overlaid: Mapping[str, Results]) -> list[Element]:  # noqa: ARG001
    """Return the sections of the table."""
    pairs = [
        element("div", element("dt", key), element("dd", value), class_="pair")
        for key, value in results.provenance.items()
    ]
    rows = (
        "Every candidate of the study, best first: those of the frontier are marked ◆. Press a heading to sort, once "
        "more to turn the order round."
    )
    words = "What these figures were made with. They hold for this device, workload and proxy."
    return [
        section("candidates", "Candidates", rows, slot("table", "div", candidates_table(results))),
        section("provenance", "Provenance", words, slot("provenance", "dl", *pairs, class_="provenance")),
    ]
