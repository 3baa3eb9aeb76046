"""What was found along each gene, in words, and what must not be read into it."""

from dashboards.analysis.association import NUM_SHUFFLES, Association, Effect
from dashboards.analysis.genes import garbled_words, genes_of
from dashboards.elements import Node, element
from dashboards.figures.gene_effects import MAX_GENES, signed
from dashboards.frame import Results
from dashboards.text import percent


def how_to_read(results: Results) -> str:
    """Return how the small plots are read."""
    score = results.objectives[0].label.lower()
    usual = (
        f"what is usual at the same {results.objectives[1].label.lower()}"
        if len(results.objectives) > 1
        else ("the median candidate")
    )
    return (
        f"How far {score} lies from {usual}: marks are medians, bars hold 80 % of the candidates, lower is better. "
        "The gene that explains most comes first."
    )


def gene_sentences(results: Results, found: Association | None) -> list[Node]:
    """Return the findings and their limits; nothing where candidates are too few."""
    if found is None or not found.effects:
        return []
    strong = [effect for effect in found.effects if effect.probability <= 0.05]
    items = [element("li", _sentence(effect, found, results)) for effect in strong[:3]]
    if not items:
        items = [element("li", "No gene explains more than the luckiest would by chance.")]
    chance = f"up to {percent(found.chance)}" if found.chance >= 0.01 else "less than 1 %"
    notes = (
        f"{found.num_candidates:,} finished candidates. By chance alone the luckiest of {len(found.effects)} genes "
        f"explains {chance} (in 19 of 20 of {NUM_SHUFFLES} shufflings). This is association in a "
        "sample that a search grew, not causation: genes are inherited together, and the search looked longest where "
        "it already did well."
    )
    more = len(found.effects) - MAX_GENES
    if more > 0:
        notes += f" {more} weaker genes are not drawn."
    garbled = genes_of(results.trials).num_garbled
    if garbled:
        notes += f" {garbled_words(garbled)}"
    return [element("ul", *items, class_="findings"), element("p", notes, class_="note")]


def _sentence(effect: Effect, found: Association, results: Results) -> str:
    best = effect.best
    scale, unit = (100, " %") if found.is_relative else (1, "")
    label = effect.label[:1].upper() + effect.label[1:]
    score = results.objectives[0].label.lower()
    return (
        f"{label} explains {percent(effect.share)} of the differences in {score}. It is lowest at {best.label}: "
        f"median {signed(scale * best.median)}{unit} ({best.num_candidates:,} candidates)."
    )
