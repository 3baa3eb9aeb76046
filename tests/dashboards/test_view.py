import dataclasses
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.view import MAX_COMPARED, PageName, Scale, View, view_of

# Words of a list are joined by commas, which therefore none of them holds; studies and columns are named without.
WORDS = st.lists(st.text(min_size=1).filter(lambda text: "," not in text), unique=True).map(tuple)
ENDS = st.integers(-1000, 1000).map(float)
RANGES = st.dictionaries(
    st.text(min_size=1).filter(lambda text: "," not in text and ":" not in text),
    st.tuples(ENDS, ENDS).map(lambda ends: (min(ends), max(ends))),
    max_size=3,
)
VIEWS = st.builds(
    View,
    page=st.sampled_from(get_args(PageName)),
    study=st.text(),
    overlay=WORDS,
    x=st.text(),
    y=st.text(),
    x_scale=st.sampled_from(get_args(Scale)),
    y_scale=st.sampled_from(get_args(Scale)),
    budget=st.none() | ENDS,
    hide=WORDS,
    find=st.text(),
    brush=RANGES,
    trial=st.none() | st.integers(0, 10**6),
    compare=st.lists(st.integers(0, 10**6), unique=True, max_size=MAX_COMPARED).map(tuple),
    over=st.sampled_from(("candidates", "time")),
)


@given(VIEWS)
def test_a_link_brings_the_same_view_back(view):
    assert view_of(view.query()) == (view, [])


@given(VIEWS)
def test_a_link_is_plain_text_that_can_be_passed_on(view):
    assert view.query().isascii()
    assert not set(view.query()) & set(" \"'<>#")


@given(st.text())
def test_no_query_is_too_strange_to_show_a_view(query):
    view, complaints = view_of(query)
    assert view_of(view.query()) == (view, [])
    assert all(complaint.endswith(".") for complaint in complaints)


def test_the_default_view_needs_no_query_and_its_link_leads_back_to_it():
    assert View().query() == ""
    assert View(trial=3).link(trial=None) == "?"
    assert view_of("?") == (View(), [])


def test_a_link_changes_what_it_names_and_keeps_the_rest():
    view = View(page="table", hide=("failed",), trial=3)
    assert view_of(view.link(trial=4))[0] == dataclasses.replace(view, trial=4)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?page=nowhere", "page was left out: it must be one of frontier, "),
        ("?colour=red", "'colour', which is no part of a view"),
        ("?budget=cheap", "budget was left out: it must be a number; got 'cheap'"),
        ("?budget=nan", "budget was left out: it must be a number; got 'nan'"),
        ("?trial=-3", "trial was left out: it must be the number of a trial; got '-3'"),
        ("?compare=1,best", "compare was left out: it must be the number of a trial; got 'best'"),
        ("?brush=depth:3", "brush was left out: a range is COLUMN:LOWEST:HIGHEST; got 'depth:3'"),
        ("?brush=depth:3:inf", "brush was left out: it must be a number; got 'inf'"),
        ("?y_scale=cubic", "y_scale was left out: it must be one of auto, log, linear; got 'cubic'"),
    ],
)
def test_what_a_link_asks_for_in_vain_is_said_and_the_rest_is_shown(query, words):
    view, (complaint,) = view_of(f"{query}&find=m2")
    assert view == View(find="m2")
    assert words in complaint


def test_ends_of_a_range_may_stand_in_either_order():
    assert dict(view_of("?brush=depth:9:3")[0].brush) == {"depth": (3.0, 9.0)}


def test_no_more_are_compared_than_fit_and_none_twice():
    numbers = ",".join(str(number % 7) for number in range(20))
    assert view_of(f"?compare={numbers}")[0].compare == tuple(range(MAX_COMPARED))
