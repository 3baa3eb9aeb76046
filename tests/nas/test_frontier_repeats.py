"""Candidates of the frontier evaluated again under new seeds: the mean ranks."""

import zlib

import numpy as np
import pytest

from nas.candidates import Evaluated, Failed
from nas.engine import run
from nas.evolution.registry import make_strategy
from nas.results.frame import results_frame
from nas.storage.open import journal_storage


def noisy(genome, seed):
    """Every candidate is as good as its cost allows, but for luck."""
    draw = np.random.default_rng([zlib.crc32(bytes(genome)), seed]).normal()
    return Evaluated(objectives={"error": 30.0 - sum(genome) + 5.0 * draw})


def search(toy, *, evaluate=noisy, study=None, frontier_repeats=2, num_repeats=0, name="frontier", num_evaluations=40):
    study = study or toy.study()
    run(
        toy.problem,
        make_strategy(name, toy.problem, {}),
        study=study,
        executor=toy.executor(evaluate),
        num_evaluations=num_evaluations,
        num_repeats=num_repeats,
        frontier_repeats=frontier_repeats,
        seed=7,
    )
    return study.history()


def test_every_member_of_the_frontier_was_evaluated_so_often_again(toy):
    history = search(toy)
    assert len([record for record in history if not record.is_repeat]) == 40
    assert all(record.num_evaluations == 3 for record in history.frontier())
    assert all(history.num_repeats(record.number) == 2 for record in history.frontier())


def test_the_mean_ranks_and_says_its_deviation(toy):
    history = search(toy)
    for record in history.frontier():
        repeats = [one for one in history if one.candidate.proposal.repeat_of == record.number]
        seeds = [7, *(one.candidate.seed for one in repeats)]
        assert seeds == [7, 8, 9]
        errors = [noisy(record.genome, seed).objectives["error"] for seed in seeds]
        assert record.objectives["error"] == pytest.approx(np.mean(errors))
        assert record.deviation == pytest.approx(np.std(errors, ddof=1))
    points = np.array(history.points(history.finished()))
    for member in np.array(history.points(history.frontier())):
        assert not np.any(np.all(points <= member, axis=1) & np.any(points < member, axis=1))


def test_luck_alone_keeps_no_candidate_on_the_frontier(toy):
    # 30 minus the cost is the truth; the frontier's own figures are nearer to it where they are means.
    def optimism(history):
        return np.mean([30.0 - sum(one.genome) - one.objectives["error"] for one in history.frontier()])

    assert optimism(search(toy, frontier_repeats=6, name="random")) < optimism(
        search(toy, frontier_repeats=0, name="random")
    )


def test_a_repeat_that_fails_is_not_tried_for_ever_and_leaves_the_candidate(toy):
    def fails_again(genome, seed):
        return noisy(genome, seed) if seed == 7 else Failed("diverged", "under this seed")

    history = search(toy, evaluate=fails_again)
    assert all(record.num_evaluations == 1 and record.deviation is None for record in history.frontier())
    assert all(history.num_repeats(record.number) == 2 for record in history.frontier())


def test_noise_is_measured_on_others_drawn_at_random(toy):
    history = search(toy, num_repeats=5)
    noise = [one.candidate.proposal for one in history if one.is_repeat and one.candidate.proposal.measures_noise]
    ranking = {one.candidate.proposal.repeat_of for one in history if one.is_repeat} - {one.repeat_of for one in noise}
    assert len(noise) == 5
    assert not ranking & {one.repeat_of for one in noise}


def test_a_study_read_again_ranks_the_same(toy, tmp_path):
    path = tmp_path / "study.journal"
    history = search(toy, study=toy.study(journal_storage(path)))
    again = toy.study(journal_storage(path)).history()
    assert again.frontier() == history.frontier()
    assert again.finished() == history.finished()


def test_the_frame_shows_means_and_how_many_they_are_of(toy):
    history = search(toy)
    frame = results_frame(history).set_index("number")
    for record in history.frontier():
        row = frame.loc[record.number]
        assert row["error"] == record.objectives["error"]
        assert row["num_evaluations"] == 3
        assert row["deviation"] == record.deviation
        assert row["is_frontier"]


def test_a_mean_above_a_bound_takes_a_lucky_candidate_off_the_frontier(make):
    history = search(make(constraints={"error": 26.0}), frontier_repeats=4, name="random", num_evaluations=60)
    assert any(history.ranked(record).status == "infeasible" for record in history if record.status == "finished")
    assert all(record.objectives["error"] <= 26.0 for record in (*history.frontier(), *history.finished()))
