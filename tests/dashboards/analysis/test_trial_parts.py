import pytest

from dashboards.analysis.selection import records
from dashboards.analysis.trial_parts import parts_of

PARTS = {
    "architecture": ("architecture", None),
    "latency_by_operator": ("latency_ms", {}),
    "curve": ("curve", ()),
    "genome": ("genome", None),
}


def a_row(results):
    return records(results.trials[results.trials["number"] == 17])[0]


def test_a_sound_trial_has_all_parts(results):
    parts = parts_of(a_row(results))
    assert parts.complaints == ()
    assert all(getattr(parts, name) not in (None, {}, ()) for name, _ in PARTS.values())


@pytest.mark.parametrize("garbled", ["{", "[1]", '{"a": "b"}', "[[1]]", '{"attention": NaN}', "3"])
@pytest.mark.parametrize("column", ["architecture", "latency_by_operator", "curve"])
def test_a_garbled_part_is_said_and_hides_no_other(results, column, garbled):
    sound, row = parts_of(a_row(results)), a_row(results) | {column: garbled}
    parts = parts_of(row)
    name, empty = PARTS[column]
    assert getattr(parts, name) == empty
    assert len(parts.complaints) == 1
    assert "trial 17 cannot be read" in parts.complaints[0]
    for other, _ in PARTS.values():
        assert other == name or getattr(parts, other) == getattr(sound, other)


def test_absent_parts_are_no_complaint(results):
    assert parts_of(a_row(results) | dict.fromkeys(PARTS)).complaints == ()
