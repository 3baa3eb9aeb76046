import dataclasses

import pandas as pd
import pytest

from dashboards import table
from dashboards.markup import to_html
from dashboards.selection import candidates
from dashboards.table import candidates_table


def test_every_candidate_has_a_row_and_the_frontier_comes_first(results):
    text = to_html(candidates_table(results))
    rows = text.split("<tbody>")[1].split("<tr ")[1:]
    assert len(rows) == len(candidates(results))
    flags = ['class="frontier"' in row for row in rows]
    assert flags == sorted(flags, reverse=True)
    assert sum(flags) == results.trials["is_frontier"].sum()


def test_failure_messages_are_escaped(results):
    text = to_html(candidates_table(results))
    assert "&lt;script&gt;alert(" in text
    assert "<script" not in text


def test_headings_and_first_cells_are_marked_for_screen_readers(results):
    text = to_html(candidates_table(results))
    assert text.count('scope="col"') == 10
    assert text.count('scope="row"') == len(candidates(results))
    assert "<caption>" in text


def test_sort_keys_are_the_values_and_missing_ones_are_empty(results):
    text = to_html(candidates_table(results))
    first = results.trials.loc[results.trials["number"] == 17, "perplexity"].iloc[0]
    assert f'data-sort="{first}"' in text
    assert 'data-sort=""' in text
    assert "nan" not in text.lower().replace("became nan", "")


def test_studies_without_architectures_have_no_columns_for_them(foreign_results):
    text = to_html(candidates_table(foreign_results))
    assert "Pattern" not in text
    assert "no kernel for this head width" in text


def test_of_very_many_candidates_the_best_are_kept_and_the_caption_says_so(results, monkeypatch):
    monkeypatch.setattr(table, "MAX_ROWS", 5)
    text = to_html(candidates_table(results))
    assert text.count("<tr ") == 5
    assert "The best 5 of 38 candidates" in text


@pytest.mark.parametrize("value", [pd.NA, None])
def test_a_missing_cell_is_a_dash(results, value):
    trials = results.trials.assign(hidden_size=pd.array([value] + [64] * (len(results.trials) - 1), dtype="Int64"))
    assert ">–</td>" in to_html(candidates_table(dataclasses.replace(results, trials=trials)))
