"""Why the good candidates are good, and how far the figures can be trusted."""

from collections.abc import Mapping

from dashboards.analysis.association import study_association
from dashboards.elements import Element, Graph, slot
from dashboards.figures.breakdown import breakdown_figure
from dashboards.figures.gene_effects import gene_effects_figure
from dashboards.figures.operator_mix import operator_mix_figure
from dashboards.frame import Results
from dashboards.view import View
from dashboards.views.brushing import brushing
from dashboards.views.gene_words import gene_sentences, how_to_read
from dashboards.views.mix_words import mix_sentences
from dashboards.views.section import section
from dashboards.views.trust import trust_sections


def why_view(results: Results, view: View, overlaid: Mapping[str, Results]) -> list[Element]:  # noqa: ARG001
    """Return the sections that explain."""
    where = (
        "The frontier: the latency predicted from the measured table, split by kind of operator. "
        "Fixed parts are the embedding, the final norm, the head and the launch."
    )
    mix = "The frontier from cheap to dear: what its members are made of, and where their latency goes."
    reading = how_to_read(results)
    association = study_association(results)
    return [
        *brushing(results, view),
        section(
            "operators",
            "Operator mix along the frontier",
            mix,
            slot("mix-words", "div", *mix_sentences(results)),
            Graph(name="operator-mix", figure=operator_mix_figure(results), label=mix),
        ),
        section(
            "genes",
            "What goes with each gene",
            reading,
            slot("gene-words", "div", *gene_sentences(results, association)),
            Graph(name="genes", figure=gene_effects_figure(association), label=reading),
        ),
        section(
            "latency",
            "Where the time goes",
            where,
            Graph(name="breakdown", figure=breakdown_figure(results), label=where),
        ),
        *trust_sections(results),
    ]
