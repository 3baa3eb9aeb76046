import csv
import dataclasses
import io
import shlex
from urllib.parse import unquote

import pytest
import yaml

from dashboards.analysis.selection import records
from dashboards.analysis.trial_parts import parts_of
from dashboards.elements import element
from dashboards.markup import to_html
from dashboards.views.export import commands_of, export_parts, figures_csv
from search_spaces import Architecture, UnavailableError


def a_row(results, number=17):
    return records(results.trials[results.trials["number"] == number])[0]


def links_in(node):
    if isinstance(node, str):
        return {}
    own = {node.attributes["download"]: node.attributes["href"]} if "download" in node.attributes else {}
    return own | {name: link for child in node.children for name, link in links_in(child).items()}


def spec_text(architecture):
    return "# 100 % ours\n" + yaml.safe_dump(architecture.to_dict())


def test_the_specification_is_a_link_that_holds_what_it_saves(results):
    study, row = dataclasses.replace(results, spec_text=spec_text), a_row(results)
    links = links_in(element("div", *export_parts(study, row, parts_of(row))))
    kind, _, text = links["trial-17.yaml"].partition(",")
    assert kind == "data:application/yaml;charset=utf-8"
    assert Architecture.from_dict(yaml.safe_load(unquote(text))) == parts_of(row).architecture
    assert unquote(text).startswith("# 100 % ours\n")


def test_figures_are_a_table_of_one_row_with_objectives_and_latencies(results):
    row = a_row(results)
    (read,) = csv.DictReader(io.StringIO(figures_csv(results, row, parts_of(row))))
    assert read["number"] == "17"
    assert float(read["perplexity"]) == row["perplexity"]
    assert float(read["latency_ms fixed"]) == parts_of(row).latency_ms["fixed"]
    assert list(read)[:3] == ["number", "perplexity", "latency_ms"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x"])
def test_no_spreadsheet_takes_a_text_for_a_formula(results, text):
    row = a_row(results) | {"mutation": text}
    (read,) = csv.DictReader(io.StringIO(figures_csv(results, row, parts_of(row))))
    assert read["mutation"] == f"'{text}"


def test_commands_quote_the_directory_for_a_shell(results):
    study = dataclasses.replace(results, directory="my runs/$x")
    for _, command in commands_of(study, 17, has_spec=True):
        words = shlex.split(command)
        assert words[0] == "nas"
        assert "my runs/$x" in words or words[2] == "trial-17.yaml"


def test_a_study_without_a_directory_offers_its_files_and_no_commands(results):
    row = a_row(results)
    text = to_html(element("div", *export_parts(results, row, parts_of(row))))
    assert "no run directory" in text
    assert "trial-17.csv" in text
    assert "data-copy" not in text


def test_a_candidate_without_architecture_can_only_be_looked_at(foreign_results):
    study = dataclasses.replace(foreign_results, spec_text=spec_text, directory="runs/a")
    row = a_row(study)
    text = to_html(element("div", *export_parts(study, row, parts_of(row))))
    assert "nas show runs/a 17" in text
    assert "nas export" not in text
    assert "trial-17.yaml" not in text


def test_a_specification_that_cannot_be_written_is_said(results):
    def refuse(_architecture):
        raise UnavailableError("not <now>")

    study, row = dataclasses.replace(results, spec_text=refuse), a_row(results)
    text = to_html(element("div", *export_parts(study, row, parts_of(row))))
    assert "cannot be written: not &lt;now&gt;" in text
    assert "trial-17.csv" in text


def test_commands_are_ones_that_can_be_copied(results):
    study, row = dataclasses.replace(results, spec_text=spec_text, directory="runs/a"), a_row(results)
    text = to_html(element("div", *export_parts(study, row, parts_of(row))))
    assert 'data-copy="nas train runs/a --trial 17 --recipe nemotron-flash"' in text
