import dataclasses

import pytest

from dashboards.analysis.association import study_association
from dashboards.figures.gene_effects import MAX_GENES, gene_effects_figure, signed


@pytest.fixture(scope="module")
def found(results):
    return study_association(results)


def test_every_gene_has_its_medians_and_bands(found):
    figure = gene_effects_figure(found)
    lines = [trace for trace in figure.data if trace.type == "scatter"]
    assert [list(line.y) for line in lines] == [
        pytest.approx([100 * one.median for one in effect.bins]) for effect in found.effects
    ]
    bands = [trace for trace in figure.data if trace.type == "bar"]
    for band, effect in zip(bands, found.effects, strict=True):
        banded = [one for one in effect.bins if one.low is not None]
        assert list(band.base) == pytest.approx([100 * one.low for one in banded])
        assert [base + height for base, height in zip(band.base, band.y, strict=True)] == pytest.approx(
            [100 * one.high for one in banded]
        )


def test_all_genes_share_one_scale(found):
    layout = gene_effects_figure(found).layout
    ranges = {tuple(layout[name].range) for name in layout.to_plotly_json() if name.startswith("yaxis")}
    assert len(ranges) == 1


def test_strong_genes_differ_from_chance_by_symbol_and_words(found):
    effects = (
        dataclasses.replace(found.effects[0], probability=0.01, share=0.31),
        dataclasses.replace(found.effects[1], probability=0.4),
    )
    figure = gene_effects_figure(dataclasses.replace(found, effects=effects))
    strong, weak = (trace for trace in figure.data if trace.type == "scatter")
    assert strong.marker.symbol != weak.marker.symbol
    texts = [annotation.text for annotation in figure.layout.annotations]
    assert "explains 31\u00a0%" in texts[0]
    assert "no more than chance" in texts[1]


def test_only_the_strongest_of_many_genes_are_drawn(found):
    many = dataclasses.replace(found, effects=found.effects * 4)
    figure = gene_effects_figure(many)
    assert len([trace for trace in figure.data if trace.type == "scatter"]) == MAX_GENES


def test_labels_are_escaped(found):
    effect = dataclasses.replace(found.effects[0], label="<script>")
    figure = gene_effects_figure(dataclasses.replace(found, effects=(effect,)))
    assert "<script>" not in figure.to_json()


def test_nothing_to_tell_apart_is_said(found):
    assert "Too few" in gene_effects_figure(None).layout.annotations[0].text
    same = dataclasses.replace(found, effects=())
    assert "same genes" in gene_effects_figure(same).layout.annotations[0].text


def test_differences_are_written_with_their_sign():
    assert [signed(value) for value in (-3.14, 0.0, 0.123, 250.0)] == ["−3.1", "+0.00", "+0.12", "+250.0"]
