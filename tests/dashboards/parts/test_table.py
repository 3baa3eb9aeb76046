import dataclasses
import json

import pandas as pd
import pytest

from dashboards.analysis.selection import candidates
from dashboards.frame import NUM_PARAMETERS, PERPLEXITY
from dashboards.markup import to_html
from dashboards.parts import table
from dashboards.parts.table import candidates_table

STUDIES = ("results", "empty_results", "failed_results", "foreign_results")


def data_of(results):
    return json.loads(candidates_table(results).data)


def column_of(results, title):
    return next(column for column in data_of(results)["columns"] if column["title"] == title)


def still_of(results):
    return to_html(candidates_table(results).still())


def test_every_candidate_has_a_row_and_the_frontier_comes_first(results):
    data = data_of(results)
    assert data["size"] == len(candidates(results))
    assert data["best"] == list(range(results.trials["is_frontier"].sum()))
    assert all(len(column["values"]) == data["size"] for column in data["columns"])


def test_behind_the_frontier_stand_the_best_scores_and_last_what_has_none(results):
    num_frontier = int(results.trials["is_frontier"].sum())
    scores = column_of(results, "Perplexity")["values"][num_frontier:]
    known = [score for score in scores if score is not None]
    assert known == sorted(known)
    assert scores == known + [None] * (len(scores) - len(known))
    assert len(known) < len(scores)


def test_numbers_are_kept_finer_than_they_are_shown(results):
    column = column_of(results, "Perplexity")
    numbers = column_of(results, "No.")["values"]
    exact = results.trials.set_index("number")["perplexity"][17]
    assert column["values"][numbers.index(17)] == pytest.approx(exact, abs=0.6 * 10 ** -(column["decimals"] + 3))
    assert column["decimals"] == 2


def test_words_are_sent_once(results):
    column = column_of(results, "Status")
    assert sorted(column["words"]) == sorted(set(candidates(results)["status"]))
    assert column["quick"]
    shown = [column["words"][value] for value in column["values"]]
    assert sorted(shown) == sorted(candidates(results)["status"])


def test_an_origin_names_the_parent(results):
    column = column_of(results, "Origin")
    numbers = column_of(results, "No.")["values"]
    parents = results.trials.set_index("number")["parent"]
    assert column["note"] == "of #%"
    assert column["notes"][numbers.index(20)] == parents[20]
    assert column["notes"][numbers.index(3)] is None


def test_failures_are_said_where_they_stand(results):
    data = data_of(results)
    numbers = column_of(results, "No.")["values"]
    assert data["broken"][str(numbers.index(28))] == "bug: ValueError: no kernel for this head width"
    assert len(data["broken"]) == 3


@pytest.mark.parametrize("column", ["architecture", "genome", "latency_by_operator", "curve"])
def test_a_trial_of_which_a_part_is_garbled_shows_as_broken_and_hides_no_other(results, column):
    garbled = results.trials[column].where(results.trials["number"] != 20, '{"stages": [1, 2')
    changed = dataclasses.replace(results, trials=results.trials.assign(**{column: garbled}))
    data = data_of(changed)
    place = column_of(changed, "No.")["values"].index(20)
    assert (
        data["broken"][str(place)]
        == f"broken: its {column.replace('_', ' ').replace('curve', 'learning curve')} cannot be read"
    )
    assert data["size"] == len(candidates(results))
    assert len(data["broken"]) == 4
    assert "cannot be read" in still_of(changed)


def test_a_failure_message_can_neither_end_the_script_nor_become_markup(results):
    table_of_results = candidates_table(results)
    assert "<" not in table_of_results.data
    assert "<script>alert(" in json.dumps(json.loads(table_of_results.data)["broken"])
    page = to_html(table_of_results)
    assert page.count("<script") == 1
    assert json.loads(page.split(">", 2)[2].split("<")[0]) == json.loads(table_of_results.data)
    assert "&lt;script&gt;alert(" in still_of(results)
    assert "<script" not in still_of(results)


def test_without_scripts_the_whole_table_is_read_with_its_headings(results):
    text = still_of(results)
    assert text.count('scope="col"') == len(data_of(results)["columns"])
    assert text.count('scope="row"') == len(candidates(results))
    assert text.count('<tr class="frontier">') == results.trials["is_frontier"].sum()
    assert "<caption>38 candidates." in text


def test_of_very_many_candidates_the_best_are_read_without_scripts_and_the_caption_says_so(results, monkeypatch):
    monkeypatch.setattr(table, "MAX_STILL", 5)
    text = still_of(results)
    assert text.count("<tr ") == 5
    assert "The best 5 of 38 candidates" in text
    assert data_of(results)["size"] == 38


def test_studies_without_architectures_have_no_columns_for_them(foreign_results):
    titles = [column["title"] for column in data_of(foreign_results)["columns"]]
    assert titles == ["No.", "Status", "Origin", "Perplexity", "Latency ms"]
    assert "no kernel for this head width" in still_of(foreign_results)


def test_an_objective_that_is_also_a_fact_has_one_column(results):
    three = dataclasses.replace(
        results,
        trials=results.trials.astype({"num_parameters": "float64"}),
        objectives=(*results.objectives, NUM_PARAMETERS),
    )
    titles = [column["title"] for column in data_of(three)["columns"]]
    assert titles.count("Parameters") == 1
    one = dataclasses.replace(results, objectives=(PERPLEXITY,))
    assert "Latency ms" not in [column["title"] for column in data_of(one)["columns"]]


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_has_a_table(study, request):
    results = request.getfixturevalue(study)
    assert data_of(results)["size"] == len(candidates(results))
    assert "<table>" in still_of(results)


@pytest.mark.parametrize("value", [pd.NA, None])
def test_a_missing_cell_is_null_and_read_as_a_dash(results, value):
    widths = pd.array([value] + [64] * (len(results.trials) - 1), dtype="Int64")
    changed = dataclasses.replace(results, trials=results.trials.assign(hidden_size=widths))
    assert column_of(changed, "Width")["values"].count(None) == 1
    assert ">–</td>" in still_of(changed)
    assert "nan" not in still_of(changed).lower().replace("became nan", "")
