import itertools
import json

import pytest

from dashboards.pages.scaling import (
    Choice,
    DepthCurve,
    DrawnPoint,
    ScalingPicture,
    agreement_figure,
    latency_figure,
    scaling_html,
    write_scaling_page,
)


def law(depth, width):
    return 3 + 4 / depth + 60 / width


@pytest.fixture
def picture():
    depths, widths = (1, 2, 4), (32, 64, 128)
    return ScalingPicture(
        title="Scaling law: <grid>",
        subject="a CPU",
        law="L(D, W) = 3 + 4·D^-1 + 60·W^-1",
        findings=["one finding"],
        caveats=["one caveat & more"],
        points=[
            DrawnPoint(
                depth=depth,
                width=width,
                num_parameters=depth * width**2,
                latency_ms=depth * width / 10,
                measured=law(depth, width) * 1.01,
                predicted=law(depth, width),
                is_held_out=depth * width >= 256,
            )
            for depth, width in itertools.product(depths, widths)
        ],
        curves=[
            DepthCurve(
                depth=depth,
                widths=widths,
                latencies_ms=[depth * width / 10 for width in widths],
                perplexities=[law(depth, width) for width in widths],
            )
            for depth in depths
        ],
        choices=[
            Choice(budget_ms=3.2, depth=1, width=32, latency_ms=3.2, perplexity=8.9, low=8.8, high=9.0),
            Choice(budget_ms=51.2, depth=4, width=128, latency_ms=51.2, perplexity=4.5, low=4.4, high=4.6),
        ],
    )


def test_every_setting_is_drawn_once_in_each_figure(picture):
    for figure, value in ((latency_figure(picture), "y"), (agreement_figure(picture), "x")):
        marks = [place for trace in figure.data if trace.mode == "markers" for place in trace[value]]
        assert sorted(marks) == pytest.approx(sorted(point.measured for point in picture.points))


def test_depths_differ_without_colour_and_held_out_marks_are_hollow(picture):
    marks = [trace for trace in latency_figure(picture).data if trace.mode == "markers"]
    symbols = {}
    for trace in marks:
        symbols.setdefault(trace.name, set()).update(trace.marker.symbol)
    plain = [{symbol.removesuffix("-open") for symbol in found} for found in symbols.values()]
    assert all(len(found) == 1 for found in plain)
    assert len({next(iter(found)) for found in plain}) == 3
    hollow = [trace for trace in marks if trace.marker.symbol[0].endswith("-open")]
    assert sum(len(trace.x) for trace in hollow) == sum(point.is_held_out for point in picture.points) == 3
    lines = [trace for trace in latency_figure(picture).data if trace.mode == "lines"]
    assert len({trace.line.dash for trace in lines if trace.name.startswith("depth")}) == 3


def test_every_depth_is_in_the_legend_once(picture):
    shown = [trace.name for trace in latency_figure(picture).data if trace.showlegend is not False]
    assert sorted(shown) == ["depth 1", "depth 2", "depth 4", "least predicted"]


def test_axes_are_logarithmic_and_a_redraw_keeps_the_zoom(picture):
    for figure in (latency_figure(picture), agreement_figure(picture)):
        assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("log", "log")
        assert figure.layout.uirevision == "constant"
        assert json.loads(figure.to_json())["layout"]["template"]


def test_the_page_is_offline_escaped_and_has_the_table(picture, tmp_path):
    text = scaling_html(picture)
    assert "default-src 'none'" in text
    assert '"showSendToCloud":false' in text
    assert "Scaling law: &lt;grid&gt;" in text
    assert "one caveat &amp; more" in text
    assert text.count('class="number" data-sort') == 7 * len(picture.points)
    write_scaling_page(picture, tmp_path / "deep" / "scaling.html")
    assert (tmp_path / "deep" / "scaling.html").read_text() == text
