import itertools

import pytest

from dashboards.operators_style import STYLES, drawing_order, operator_name, style_of
from dashboards.palette import ACCENT, CAUTION, CAUTION_SOFT, FAILURE, INK, MUTED, PAGE, SURFACE, css_variables, ramp
from search_spaces import LETTERS, SPEC_CLASSES, Dimensions


def channels(colour):
    return [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("letter", LETTERS)
def test_every_letter_of_the_notation_has_a_style_with_that_letter(letter):
    spec = Dimensions().operator(letter, hidden_size=1024)
    assert operator_name(spec) in STYLES
    assert style_of(operator_name(spec)).letter == letter


def test_every_spec_class_has_a_style():
    assert set(SPEC_CLASSES) <= set(STYLES)


def test_no_two_operators_share_colour_or_letter():
    styles = [style for name, style in STYLES.items() if name != "fixed"]
    for one, other in itertools.combinations(styles, 2):
        assert one.colour != other.colour
        assert one.letter != other.letter


def test_letters_are_legible_on_their_colour():
    for style in STYLES.values():
        assert contrast(style.ink, style.colour) >= 4.5, style.label


@pytest.mark.parametrize("colour", [INK, MUTED, ACCENT, FAILURE])
def test_text_colours_are_legible_on_page_and_card(colour):
    assert contrast(colour, PAGE) >= 4.5
    assert contrast(colour, SURFACE) >= 4.5


def test_caveats_are_legible():
    assert contrast(CAUTION, CAUTION_SOFT) >= 4.5


def test_names_with_blanks_and_hyphens_find_their_style():
    assert style_of("sliding-window attention") is STYLES["sliding_window_attention"]


def test_an_unknown_kind_gets_a_neutral_style_that_is_always_the_same():
    assert style_of("rwkv7") == style_of("rwkv7")
    assert style_of("rwkv7").label == "rwkv7"


def test_mixers_come_before_unknown_kinds_and_these_before_ffn_and_fixed_parts():
    names = ["fixed", "ffn", "rwkv7", "mamba2", "attention"]
    assert sorted(names, key=drawing_order) == ["attention", "mamba2", "rwkv7", "ffn", "fixed"]


def test_the_ramp_darkens_steadily():
    lights = [luminance(colour) for colour in ramp(12)]
    assert lights == sorted(lights, reverse=True)
    assert len(set(ramp(12))) == 12
    assert len(ramp(1)) == 1


def test_style_sheets_get_the_palette():
    assert f"--accent:{ACCENT};" in css_variables()
