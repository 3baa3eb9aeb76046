import dataclasses
import json
from html.parser import HTMLParser

import pytest

from dashboards.elements import element, graphs_in, slots_in
from dashboards.figures.theme import GRAPH_CONFIG
from dashboards.markup import to_html
from dashboards.page import FIGURES, page
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
    assert rules["script-src"] == "'unsafe-inline'"
    assert rules["img-src"] == "data: blob:"
    assert "connect-src" not in rules


def test_plotly_is_inside_once_and_the_file_stays_under_eight_megabytes(text, parsed):
    assert sum("plotly.js v" in body[:300] for _, body in parsed.scripts) == 1
    assert len(text.encode()) < 8e6


def test_every_graph_carries_the_flags_that_forbid_uploading(parsed):
    graphs = graphs_of(parsed)
    assert len(graphs) == len(FIGURES)
    for graph in graphs:
        assert graph["config"]["showSendToCloud"] is False
        assert graph["config"]["plotlyServerURL"] == ""
        assert graph["config"]["displaylogo"] is False
        assert graph["id"] in parsed.ids


def test_the_page_names_its_language_and_its_identifiers_are_unique(parsed):
    assert ("html", {"lang": "en"}) in parsed.tags
    assert len(set(parsed.ids)) == len(parsed.ids)


def test_links_of_the_navigation_lead_to_sections(parsed):
    links = [attributes["href"][1:] for tag, attributes in parsed.tags if tag == "a"]
    assert len(links) == 9
    assert set(links) <= set(parsed.ids)


def test_text_from_outside_cannot_become_markup(results):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    trials = results.trials.assign(failure_message=evil, failure_kind=evil, mutation=evil)
    hostile = dataclasses.replace(
        results, title=evil, trials=trials, provenance={evil: evil}, caveats=(evil,),
        comparison=dataclasses.replace(results.comparison, sentence=evil),
    )  # fmt: skip
    parsed = Page(report_html(hostile))
    assert not [tag for tag, _ in parsed.tags if tag == "img"]
    assert len(parsed.scripts) == 4
    assert not [attributes for _, attributes in parsed.tags if "onerror" in attributes]
    figures = json.dumps(graphs_of(parsed))
    assert "<img" not in figures
    assert "<script" not in figures


def test_the_headline_states_best_frontier_and_failures(results, text):
    header = text.split("<header")[1].split("</header>")[0]
    best = results.trials.loc[results.trials["status"] == "finished", "perplexity"].min()
    assert f"<strong>{best:.2f}</strong>" in header
    assert "33 of 48" in header
    assert "3 failed (1 diverged, 1 gpu out of memory, 1 bug), 3 over a limit, 2 running" in header
    assert "NVIDIA H100" in header


def test_the_comparison_is_shown_with_its_noise_when_evolution_loses(results):
    comparison = dataclasses.replace(
        results.comparison, evolved_hypervolume=99.0, difference=-2.2, sentence="Random search did better."
    )
    text = to_html(page(dataclasses.replace(results, comparison=comparison)))
    assert "Random search did better." in text
    assert "<dd>−2.2</dd>" in text
    assert "<dd>± 1.9</dd>" in text


def test_unmeasured_noise_is_said_not_shown_as_zero(results):
    unmeasured = dataclasses.replace(results, comparison=dataclasses.replace(results.comparison, noise=None))
    assert "<dd>not measured</dd>" in to_html(page(unmeasured))


def test_provenance_and_caveats_are_shown_word_for_word(results):
    text = to_html(page(dataclasses.replace(results, caveats=("The latency table was never validated.",))))
    assert "sha256 5f1c0a9e2b77, 212 MB" in text
    assert "<li>The latency table was never validated.</li>" in text


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_has_the_same_slots_and_graphs(study, results, request):
    other = page(request.getfixturevalue(study))
    assert list(slots_in([other])) == list(slots_in([page(results)]))
    assert [graph.name for graph in graphs_in([other])] == [graph.name for graph in graphs_in([page(results)])]


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
    broken = dataclasses.replace(results, trials=results.trials.assign(curve="not JSON"))
    with pytest.raises(json.JSONDecodeError):
        write_report(broken, path)
    assert path.read_text() == "old"


def test_attributes_and_text_are_escaped_once():
    node = element("p", "a < b & c", title='say "x" <y>', data_sort="1")
    assert to_html(node) == '<p title="say &quot;x&quot; &lt;y&gt;" data-sort="1">a &lt; b &amp; c</p>'


def test_the_shared_configuration_forbids_uploading():
    assert (GRAPH_CONFIG["showSendToCloud"], GRAPH_CONFIG["plotlyServerURL"]) == (False, "")
