import re

import pytest

from dashboards import palette
from dashboards.operators_style import STYLES
from dashboards.palette import DARK, RAMP, ramp
from dashboards.standalone import asset

GROUNDS = (palette.SURFACE, palette.PAGE)
TEXTS = (palette.INK, palette.MUTED, palette.ACCENT, palette.CAUTION, palette.FAILURE)
MARKS = (palette.FAINT, palette.MARK, palette.CONTROL)
ON_SOFT = (
    (palette.ACCENT, palette.ACCENT_SOFT),
    (palette.CAUTION, palette.CAUTION_SOFT),
    (palette.FAILURE, palette.FAILURE_SOFT),
    (palette.INK, palette.ACCENT_SOFT),
    (palette.MUTED, palette.HOVER),
    (palette.SURFACE, palette.ACCENT),
)


def luminance(colour):
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def in_both(*colours):
    return [colours, tuple(DARK.get(colour, colour) for colour in colours)]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("ground", GROUNDS)
def test_text_is_legible_in_light_and_dark(text, ground):
    for pair in in_both(text, ground):
        assert contrast(*pair) >= 4.5, pair


@pytest.mark.parametrize(("text", "ground"), ON_SOFT)
def test_text_on_coloured_grounds_is_legible_in_light_and_dark(text, ground):
    for pair in in_both(text, ground):
        assert contrast(*pair) >= 4.5, pair


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("ground", GROUNDS)
def test_marks_and_borders_of_controls_are_seen_in_light_and_dark(mark, ground):
    for pair in in_both(mark, ground):
        assert contrast(*pair) >= 3, pair


@pytest.mark.parametrize("style", STYLES.values(), ids=lambda style: style.label)
def test_operators_are_seen_and_their_letters_read_in_light_and_dark(style):
    for fill, ink, edge, ground in in_both(style.colour, style.ink, style.edge or style.colour, palette.SURFACE):
        assert contrast(ink, fill) >= 4.5
        assert max(contrast(fill, ground), contrast(edge, ground)) >= 3


def test_inks_of_operators_are_not_exchanged_for_those_of_the_page():
    for style in STYLES.values():
        assert style.ink not in (palette.INK, palette.SURFACE)
        assert set(style.dark) <= {style.colour, style.ink, style.edge}


@pytest.mark.parametrize("num_colours", [2, 3, 5, 7, 12, 40])
def test_every_colour_of_a_ramp_has_a_twin_and_keeps_its_place_from_light_to_dark(num_colours):
    for colours in (ramp(num_colours), [DARK[colour] for colour in ramp(num_colours)]):
        lights = [luminance(colour) for colour in colours]
        assert lights == sorted(lights, reverse=True)
        assert len(set(colours)) == num_colours
    assert {RAMP[0], RAMP[-1]} <= set(ramp(num_colours))


def test_every_colour_of_a_ramp_is_seen_in_light_and_dark():
    for colour in ramp(40):
        for pair in in_both(colour, palette.SURFACE):
            assert contrast(*pair) >= 3, pair


def test_a_twin_is_no_other_colour_of_the_light_page():
    assert not set(DARK) & set(DARK.values())


def test_every_variable_of_the_style_sheet_is_given():
    names = set(re.findall(r"var\(--([\w-]+)", asset("page.css"))) - {"columns"}
    given = set(re.findall(r"--([\w-]+):", palette.css_variables()))
    assert names <= given, names - given


def test_operators_that_change_do_so_by_variables_which_both_themes_give():
    light, dark = palette.css_variables().split(":root[data-theme=dark]")
    ffn = STYLES["ffn"]
    assert ffn.css.startswith("background:var(--operator-cfd5dc);color:var(")
    assert f"--operator-cfd5dc:{ffn.colour};" in light
    assert f"--operator-cfd5dc:{ffn.dark[ffn.colour]};" in dark
    assert STYLES["attention"].css == "background:#bb4c34;color:#fffffe"


def test_the_style_sheet_names_no_colour_itself():
    rules = re.sub(r"/\*.*?\*/", "", asset("page.css"), flags=re.DOTALL)
    on_screen = rules.split("@media print")[0]
    assert not re.findall(r":[^;{}]*#[0-9a-f]{3,8}\b", on_screen)
