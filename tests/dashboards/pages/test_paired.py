import pytest

from dashboards.pages.paired import PairedCurves, paired_figure, write_paired_page

ARMS = ("decay", "<normalization>")


def family(name):
    return PairedCurves(
        name=name,
        tokens=(100, 200, 300),
        without=(3.0, 2.5, 2.2),
        with_it=(3.2, 2.5, 2.1),
        difference=(0.2, 0.0, -0.1),
        low=(0.1, -0.1, -0.2),
        high=(0.3, 0.1, 0.0),
    )


def test_every_family_has_both_losses_and_the_difference_with_its_band():
    figure = paired_figure([family("attention"), family("hybrid")], arms=ARMS)
    assert len(figure.data) == 2 * 4
    assert [trace.name for trace in figure.data if trace.showlegend] == list(ARMS)
    band = figure.data[2]
    assert sorted(band.y) == sorted([0.1, -0.1, -0.2, 0.3, 0.1, 0.0])


def test_differences_share_one_scale_that_holds_zero():
    figure = paired_figure([family("attention"), family("hybrid")], arms=ARMS)
    ranges = {tuple(axis.range) for axis in (figure.layout.yaxis3, figure.layout.yaxis4)}
    ((low, high),) = ranges
    assert low < -0.2 < 0 < 0.3 < high


def test_the_page_is_offline_escaped_and_says_what_was_found(tmp_path):
    write_paired_page([family("attention")], tmp_path / "page.html", title="A & B", arms=ARMS, words=["0.1 nats."])
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert "<h1>A &amp; B</h1>" in text
    assert "<normalization>" not in text.split("<script")[0]
    assert "<li>0.1 nats.</li>" in text


@pytest.mark.parametrize("count", [1, 4])
def test_columns_are_as_many_as_families(count):
    figure = paired_figure([family(f"family {index}") for index in range(count)], arms=ARMS)
    assert [note.text for note in figure.layout.annotations] == [f"family {index}" for index in range(count)]
