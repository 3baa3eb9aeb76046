import base64
import dataclasses
import gzip
import json
import re
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs

from dashboards.elements import element, graphs_in, slots_in
from dashboards.figures.theme import GRAPH_CONFIG
from dashboards.markup import to_html
from dashboards.page import VIEWS, report_page
from dashboards.report import report_html, write_report

STUDIES = ("results", "empty_results", "failed_results", "foreign_results")
LOADING = ("src", "srcset", "href", "action", "data", "poster", "background", "formaction")


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.ids, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag == "script":
            self.scripts.append([dict(attributes), ""])

    def handle_data(self, data):
        if self.get_starttag_text() and self.get_starttag_text().startswith("<script") and self.scripts:
            self.scripts[-1][1] += data


@pytest.fixture(scope="module")
def text(results):
    return report_html(results)


@pytest.fixture(scope="module")
def parsed(text):
    return Page(text)


def graphs_of(parsed):
    (found,) = [body for attributes, body in parsed.scripts if attributes.get("id") == "graphs"]
    return json.loads(found)


def test_the_report_loads_nothing(parsed):
    for tag, attributes in parsed.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form", "img", "video", "audio", "source"}
        if "download" in attributes:  # a file that the page itself holds
            assert attributes["href"].startswith("data:")
            continue
        for name in LOADING:
            assert attributes.get(name, "#").startswith("#"), (tag, name)
    own = [body for attributes, body in parsed.scripts if len(body) < 1_000_000]
    for body in own:
        assert "http" not in body
        assert "fetch(" not in body


def test_the_style_sheet_loads_nothing(text):
    style = text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in style


def test_the_report_forbids_itself_to_load_anything(parsed):
    (policy,) = [a["content"] for tag, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'unsafe-inline' 'unsafe-eval'"
    assert rules["img-src"] == "data: blob:"
    assert "connect-src" not in rules


def test_plotly_is_inside_once_and_packed_so_that_the_file_stays_small(text, parsed):
    (packed,) = [body for attributes, body in parsed.scripts if attributes.get("id") == "plotly"]
    assert gzip.decompress(base64.b64decode(packed)).decode() == get_plotlyjs()
    assert not any("plotly.js v" in body[:300] for _, body in parsed.scripts)
    assert len(text.encode()) < 4e6


def test_every_graph_carries_the_flags_that_forbid_uploading(parsed):
    graphs = graphs_of(parsed)
    assert len(graphs) > 5
    for graph in graphs:
        assert graph["config"]["showSendToCloud"] is False
        assert graph["config"]["plotlyServerURL"] == ""
        assert graph["config"]["displaylogo"] is False
        assert graph["id"] in parsed.ids


def test_the_page_names_its_language_and_its_identifiers_are_unique(parsed):
    assert ("html", {"lang": "en"}) in parsed.tags
    assert len(set(parsed.ids)) == len(parsed.ids)


def test_links_lead_to_places_of_the_report_and_the_navigation_to_every_view(parsed):
    links = [attributes["href"] for tag, attributes in parsed.tags if tag == "a" and "download" not in attributes]
    assert {f"#view-{name}" for name in VIEWS} <= set(links)
    assert {link[1:] for link in links} <= set(parsed.ids)


def test_what_needs_a_server_is_left_out(text):
    assert "data-live" not in text


def test_text_from_outside_cannot_become_markup(results, parsed):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    trials = results.trials.assign(failure_message=evil, failure_kind=evil, mutation=evil)
    hostile = dataclasses.replace(
        results, title=evil, trials=trials, provenance={evil: evil}, caveats=(evil,),
        comparison=dataclasses.replace(results.comparison, sentence=evil),
    )  # fmt: skip
    found = Page(report_html(hostile))
    assert not [tag for tag, _ in found.tags if tag == "img"]
    assert len(found.scripts) == len(parsed.scripts)
    assert not [attributes for _, attributes in found.tags if "onerror" in attributes]
    figures = json.dumps(graphs_of(found))
    assert "<img" not in figures
    assert "<script" not in figures


def test_the_headline_states_best_frontier_and_failures(results, text):
    header = text.split("<header")[1].split("</header>")[0]
    best = results.trials.loc[results.trials["status"] == "finished", "perplexity"].min()
    assert f"<strong>{best:.2f}</strong>" in header
    assert "33 of 48" in header
    assert "3 failed, 3 over a limit, 2 running" in header
    assert "NVIDIA H100" in header


def test_the_comparison_is_shown_with_its_noise_when_evolution_loses(results):
    comparison = dataclasses.replace(
        results.comparison, evolved_hypervolume=99.0, difference=-2.2, sentence="Random search did better."
    )
    text = to_html(report_page(dataclasses.replace(results, comparison=comparison)))
    assert "Random search did better." in text
    assert "<dd>−2.2</dd>" in text
    assert "<dd>± 1.9</dd>" in text


def test_unmeasured_noise_is_said_not_shown_as_zero(results):
    unmeasured = dataclasses.replace(results, comparison=dataclasses.replace(results.comparison, noise=None))
    assert "<dd>not measured</dd>" in to_html(report_page(unmeasured))


def test_provenance_and_caveats_are_shown_word_for_word(results):
    text = to_html(report_page(dataclasses.replace(results, caveats=("The latency table was never validated.",))))
    assert "sha256 5f1c0a9e2b77, 212 MB" in text
    assert "<li>The latency table was never validated.</li>" in text


@pytest.mark.parametrize("study", STUDIES)
def test_slots_and_graphs_of_all_views_have_names_of_their_own(study, request):
    tree = report_page(request.getfixturevalue(study))
    graphs = [graph.name for graph in graphs_in([tree])]
    assert len(set(graphs)) == len(graphs)
    slots = re.findall(r'data-slot="([^"]*)"', to_html(tree))
    assert sorted(slots) == sorted(slots_in([tree]))


@pytest.mark.parametrize("study", STUDIES)
def test_every_figure_of_every_study_keeps_a_readers_zoom_and_shows_something_or_says_why_not(study, request):
    for graph in graphs_in([report_page(request.getfixturevalue(study))]):
        assert graph.figure.layout.uirevision, graph.name
        assert graph.figure.layout.height > 0, graph.name
        assert graph.figure.data or graph.figure.layout.annotations, graph.name
        assert graph.label, graph.name
        assert json.loads(graph.figure.to_json())["layout"]["template"], graph.name


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_can_be_written(study, request, tmp_path):
    path = tmp_path / "report.html"
    write_report(request.getfixturevalue(study), path)
    assert path.read_text(encoding="utf-8").endswith("</html>\n")


def test_writing_replaces_the_old_report_and_leaves_nothing_else(empty_results, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(empty_results, path)
    assert "old" not in path.read_text(encoding="utf-8")[:10]
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_report_that_cannot_be_drawn_leaves_the_old_one(results, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")

    def refuse(_architecture):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_report(dataclasses.replace(results, spec_text=refuse), path)
    assert path.read_text() == "old"


def test_attributes_and_text_are_escaped_once():
    node = element("p", "a < b & c", title='say "x" <y>', data_sort="1")
    assert to_html(node) == '<p title="say &quot;x&quot; &lt;y&gt;" data-sort="1">a &lt; b &amp; c</p>'


def test_the_shared_configuration_forbids_uploading():
    assert (GRAPH_CONFIG["showSendToCloud"], GRAPH_CONFIG["plotlyServerURL"]) == (False, "")
