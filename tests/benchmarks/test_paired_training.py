import json

import numpy as np
import pytest

from benchmarks.paired_training import (
    MOST_EXTENSIONS,
    Arm,
    Compared,
    Paired,
    Plan,
    claims,
    compare,
    figures,
    write_picture,
)
from benchmarks.resumable import Deadline, MoreToDoError
from proxies.settings import TrainingSettings
from search_spaces.dimensions import Dimensions, architecture_from_pattern

ARMS = (Arm(name="without", settings={}), Arm(name="with", settings={}, num_meta_tokens=2))


def make_plan(**changes):
    families = {
        "attention": architecture_from_pattern(
            "a f", hidden_size=32, vocab_size=257, dimensions=Dimensions(head_dim=16)
        )
    }
    return Plan(
        **{
            "arms": ARMS,
            "families": families,
            "settings": TrainingSettings(
                steps=4, sequence_tokens=16, validation_every=2, validation_sequences=2, device="cpu"
            ),
            "rates": (1e-3, 2e-3, 4e-3),
            "num_seeds": 2,
            "corpus": "stdlib",
            **changes,
        }
    )


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("".join(f"{number} and {number} make {2 * number}. " for number in range(400)))
    return f"file:{path}"


@pytest.fixture(scope="module")
def keep(tmp_path_factory):
    return tmp_path_factory.mktemp("keep")


@pytest.fixture(scope="module")
def found(text, keep):
    return compare(make_plan(corpus=text), keep=keep, num_processes=1, deadline=Deadline.after(None))


def test_both_arms_meet_the_same_rates_and_the_grid_grows_for_both(found):
    arms = found.sweeps["attention"]
    assert list(arms["without"]) == list(arms["with"])
    assert {1e-3, 2e-3, 4e-3} <= set(arms["with"])
    assert len(arms["with"]) <= 3 + 2 * MOST_EXTENSIONS


def test_seeds_are_paired_over_the_whole_curve(found):
    paired = found.paired["attention"]
    assert paired.tokens == (64, 128)
    assert np.array(paired.first).shape == np.array(paired.second).shape == (2, 2)


def test_figures_and_claims_come_of_what_was_found(found):
    plan = make_plan()
    names = figures(plan, found)
    assert {"attention: difference", "attention: from", "attention: to"} <= names.keys()
    assert "attention after 0.064k tokens: difference" in names
    equal, _, finite = claims(plan, found)
    assert equal.holds
    assert finite.holds
    json.dumps({name: figure.value for name, figure in names.items()}, allow_nan=False)


def test_the_picture_shows_every_family_and_says_what_was_found(found, tmp_path, capsys):
    write_picture(make_plan(), found, tmp_path / "curves.html", title="Meta tokens")
    text = (tmp_path / "curves.html").read_text(encoding="utf-8")
    assert "<h1>Meta tokens</h1>" in text
    assert "attention: " in text
    assert str(tmp_path / "curves.html") in capsys.readouterr().err


def test_what_was_trained_is_not_trained_again_even_after_a_line_cut_short(text, keep, found, capsys):
    path = keep / "trainings.jsonl"
    before = path.read_text(encoding="utf-8")
    path.write_text(f'{before}\n{{"key": "half', encoding="utf-8")
    again = compare(make_plan(corpus=text), keep=keep, num_processes=1, deadline=Deadline.after(0))
    assert again == found
    assert capsys.readouterr().err == ""


def test_a_deadline_ends_it_between_trainings(text, tmp_path):
    with pytest.raises(MoreToDoError):
        compare(make_plan(corpus=text), keep=tmp_path, num_processes=1, deadline=Deadline.after(0))


def paired(differences):
    differences = np.asarray(differences, dtype=float)
    tokens = tuple(100 * (index + 1) for index in range(differences.shape[1]))
    first = np.full_like(differences, 3.0)
    return Paired(
        tokens=tokens,
        first=tuple(map(tuple, first.tolist())),
        second=tuple(map(tuple, (first + differences).tolist())),
    )


def test_the_interval_is_students():
    mean, low, high = paired([[0.1], [0.2], [0.3]]).interval(0)
    # t(0.975, 2) = 4.3027, deviation 0.1.
    assert (mean, high - low) == (pytest.approx(0.2), pytest.approx(2 * 4.30265 * 0.1 / 3**0.5, rel=1e-4))


def test_a_crossing_is_where_the_mean_difference_changes_its_sign():
    assert paired([[0.2, 0.1, -0.1], [0.2, 0.1, -0.1]]).crossings == (pytest.approx(250.0),)
    assert paired([[0.2, 0.1], [0.2, 0.1]]).crossings == ()


def test_a_best_rate_at_the_edge_and_unequal_grids_break_claims():
    plan = make_plan()
    sweeps = {"attention": {"without": {1e-3: 2.0, 2e-3: 1.0}, "with": {1e-3: 2.0, 2e-3: 1.0, 4e-3: 3.0}}}
    compared = Compared(
        sweeps=sweeps,
        best={"attention": {"without": 2e-3, "with": 2e-3}},
        paired={"attention": paired([[0.1], [0.2]])},
    )
    equal, edges, finite = claims(plan, compared)
    assert (equal.value, edges.value, finite.value) == (1, 1, 0)
    assert not equal.holds
    assert not edges.holds
