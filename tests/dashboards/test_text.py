import math

import pandas as pd
import pytest

from dashboards.text import common_decimals, count, duration, hover_text, number, whole


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (20.4943, "20.49"), (1204.4, "1,204"), (0.031234, "0.03123"), (0, "0"), (None, "–"), (float("nan"), "–"),
        (pd.NA, "–"), (math.inf, "∞"), (-2.5, "−2.500"), (1e-9, "1.00e−09"),
    ],
)  # fmt: skip
def test_numbers_keep_four_significant_digits(value, text):
    assert number(value) == text


def test_a_column_gets_the_decimals_of_its_median():
    assert common_decimals(pd.Series([0.35, 1.05, 2.6, None])) == 3
    assert common_decimals(pd.Series([None], dtype="float64")) is None
    assert number(0.3557, decimals=3) == "0.356"


@pytest.mark.parametrize(
    ("value", "text"),
    [(965_389_440, "965 M"), (1_235_814_400, "1.24 B"), (56_324_350_464, "56.3 B"), (999_999_999, "1.00 B"),
     (512, "512"), (pd.NA, "–")],
)  # fmt: skip
def test_counts_take_the_short_form(value, text):
    assert count(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12.4, "12 s"),
        (60, "1 min 0 s"),
        (59.7, "1 min 0 s"),
        (7384, "2 h 3 min"),
        (93600, "1 d 2 h"),
        (None, "–"),
        (math.inf, "∞ s"),
    ],
)
def test_durations_show_their_two_largest_units(seconds, text):
    assert duration(seconds) == text


def test_whole_numbers_separate_thousands():
    assert whole(131072) == "131,072"
    assert whole(pd.NA) == "–"


def test_hover_text_is_escaped_wrapped_and_cut():
    text = hover_text("<b>x</b> & " + "word " * 200, width=40, max_lines=3)
    assert text.startswith("&lt;b&gt;x&lt;/b&gt; &amp; word")
    assert text.count("<br>") == 2
    assert text.endswith("…")
