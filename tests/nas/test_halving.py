import math
from dataclasses import replace

import pytest

from nas.candidates import Evaluated, Stopped
from nas.engine import run
from nas.evolution.imagination import Belief
from nas.evolution.registry import make_strategy
from nas.halving import Halving, Seen
from nas.halving_account import account
from nas.results.frame import results_frame
from nas.storage.open import journal_storage
from proxies.projection import PRIOR_PARAMETER_WEIGHT

SHARES = (0.1, 0.5)


def halving(**settings):
    return Halving(**({"rungs": SHARES, "keep": 0.1, "min_seen": 4, "explore": 0.0, "costs": ("cost",)} | settings))


def seen(loss, *, cost=1.0, parameters=100.0, is_stopped=False):
    """A candidate whose loss falls by 1 from the first rung to the end."""
    losses = (loss,) if is_stopped else (loss, loss - 0.5)
    return Seen(
        cheap={"cost": cost, "num_parameters": parameters},
        losses=losses,
        perplexity=None if is_stopped else math.exp(loss - 1),
    )


def limits(rule, known, *, cost=1.0, parameters=100.0):
    cheap = {"cost": cost, "num_parameters": parameters}
    return rule.rungs_of(cheap, known, seed=0, number=0).limits


def test_the_limit_is_the_loss_of_the_third_best_rival_and_later_of_the_second():
    known = [seen(loss) for loss in (3.0, 3.1, 3.2, 3.3)]
    assert limits(halving(), known) == pytest.approx((3.2, 2.6))


def test_from_the_third_rung_on_the_best_rival_is_the_limit():
    rule = halving(rungs=(0.1, 0.2, 0.3, 0.5))
    known = [
        Seen(
            cheap={"cost": 1.0, "num_parameters": 100.0},
            losses=tuple(loss - fallen for fallen in (0.0, 0.5, 0.6, 0.8)),
            perplexity=math.exp(loss - 1),
        )
        for loss in (3.0, 3.1, 3.2, 3.3)
    ]
    assert limits(rule, known) == pytest.approx((3.2, 2.6, 2.4, 2.2))


def test_a_larger_share_lets_more_go_on():
    known = [seen(loss) for loss in (3.0, 3.1, 3.2, 3.3, 3.4, 3.5, 3.6)]
    assert limits(halving(keep=0.5), known) == pytest.approx((3.3, 2.8))


def test_those_that_cost_more_are_no_rivals():
    known = [seen(3.0, cost=9.0), seen(3.1, cost=9.0), *(seen(loss) for loss in (4.0, 4.1, 4.2, 4.3))]
    assert limits(halving(), known, cost=2.0) == pytest.approx((4.2, 3.6))
    assert limits(halving(), known, cost=0.5) == (None, None)


def test_nothing_is_stopped_before_enough_were_seen_at_the_rung():
    known = [seen(3.0), seen(3.1), seen(3.2), seen(3.3, is_stopped=True)]
    first, second = limits(halving(), known)
    assert first is not None
    assert second is None
    assert limits(halving(), known[1:]) == (None, None)


def test_nothing_is_stopped_before_anything_reached_its_end():
    assert limits(halving(), [seen(3.0, is_stopped=True)] * 9) == (None, None)


def test_a_larger_model_may_have_a_higher_loss_early():
    known = [seen(loss) for loss in (3.0, 3.1, 3.2, 3.3)]
    small, large = (limits(halving(), known, parameters=parameters)[0] for parameters in (100.0, 200.0))
    # All that is known is of one size, so that the correction is what it begins as.
    assert large - small == pytest.approx(-PRIOR_PARAMETER_WEIGHT * math.log(2), rel=0.2)


def test_a_stopped_candidate_is_expected_to_improve_as_others_did():
    known = [seen(loss) for loss in (3.0, 3.1, 3.2, 3.3)]
    cheap = {"cost": 1.0, "num_parameters": 100.0}
    assert halving().expected_perplexity(cheap, (3.5,), known) == pytest.approx(math.exp(2.5), rel=0.02)


def test_the_share_that_is_left_alone_is_drawn_by_number():
    known = [seen(loss) for loss in (3.0, 3.1, 3.2, 3.3)]
    drawn = [
        halving(explore=0.25).rungs_of(known[0].cheap, known, seed=0, number=number).is_enforced
        for number in range(400)
    ]
    assert 60 < drawn.count(False) < 140
    again = [
        halving(explore=0.25).rungs_of(known[0].cheap, known, seed=0, number=number).is_enforced
        for number in range(400)
    ]
    assert drawn == again


def trained(genome, seed, rungs=None):
    """Digits whose loss at every rung tells how they end."""
    error = sum((value - 2) ** 2 * (place + 1) for place, value in enumerate(genome))
    final = 1.0 + 0.05 * error + 0.001 * seed
    planned = {"tokens_planned": 100, "tokens_seen": 100}
    if rungs is None:
        return Evaluated(objectives={"error": math.exp(final)}, details=planned)
    losses = (final + 1.0, final + 0.5)
    unmet = rungs.first_unmet(losses) if rungs.is_enforced else None
    if unmet is not None:
        tokens = round(100 * rungs.shares[unmet])
        return Stopped(details={**planned, "tokens_seen": tokens, "rung_losses": list(losses[: unmet + 1])})
    return Evaluated(objectives={"error": math.exp(final)}, details={**planned, "rung_losses": list(losses)})


def with_parameters(toy):
    cheap = toy.problem.cheap
    priced = replace(toy.problem, cheap=lambda genome: {**cheap(genome), "num_parameters": 50.0 + sum(genome)})
    return replace(toy, problem=priced)


def search(toy, *, study=None, evaluate=trained, name="frontier", num_evaluations=40, rule=None, num_repeats=0):
    toy = with_parameters(toy)
    study = study or toy.study()
    run(
        toy.problem,
        make_strategy(name, toy.problem, {} if name == "random" else {"population_size": 8, "tournament_size": 6}),
        study=study,
        executor=toy.executor(evaluate),
        num_evaluations=num_evaluations,
        num_repeats=num_repeats,
        seed=0,
        halving=rule or halving(explore=0.1),
    )
    return study.history()


@pytest.mark.parametrize("name", ["aging", "frontier", "random", "surrogate"])
def test_what_was_stopped_is_no_parent_on_no_frontier_and_never_proposed_again(toy, name):
    history = search(toy, name=name)
    stopped = {record.number for record in history if record.status == "stopped"}
    assert stopped
    assert not stopped & {record.parent for record in history}
    assert not stopped & {record.number for record in (*history.frontier(), *history.finished())}
    assert len({record.genome for record in history}) == 40


def test_repeats_are_never_stopped(toy):
    history = search(toy, num_repeats=6)
    repeats = [record for record in history if record.is_repeat]
    assert len(repeats) == 6
    assert all(record.candidate.rungs is None and record.status == "finished" for record in repeats)


def test_an_interrupted_search_goes_on_to_the_same_archive(toy, tmp_path):
    whole = search(toy)
    storage = tmp_path / "journal.log"
    calls = 0

    def interrupted(genome, seed, rungs=None):
        nonlocal calls
        calls += 1
        if calls == 25:
            raise KeyboardInterrupt
        return trained(genome, seed, rungs)

    with pytest.raises(KeyboardInterrupt):
        search(toy, study=toy.study(journal_storage(storage)), evaluate=interrupted)
    resumed = search(toy, study=toy.study(journal_storage(storage)))

    def archive(history):
        return [
            (record.number, record.genome, record.status, record.expected, record.candidate.rungs)
            for record in sorted(history, key=lambda record: record.number)
        ]

    assert archive(resumed) == archive(whole)


def test_the_account_tells_what_was_saved_and_what_the_control_group_brought(toy):
    history = search(toy, rule=halving(explore=0.5), num_evaluations=60)
    found = account(history)
    assert found.num_stopped == sum(record.status == "stopped" for record in history)
    assert found.tokens_planned == 60 * 100
    assert found.tokens_spent == sum(record.details["tokens_seen"] for record in history)
    assert 0 < found.num_control < 40
    assert 0 <= found.num_control_on_frontier <= found.num_control
    assert f"of {found.num_control} that would have been stopped" in str(found)


def test_without_halving_there_is_no_account(toy):
    toy = with_parameters(toy)
    study = toy.study()
    run(
        toy.problem,
        make_strategy("random", toy.problem, {}),
        study=study,
        executor=toy.executor(),  # an evaluation that knows nothing of rungs
        num_evaluations=5,
        seed=0,
    )
    assert account(study.history()) is None


def test_models_learn_what_is_expected_of_the_stopped(toy):
    history = search(toy, name="random")
    problem = with_parameters(toy).problem
    stopped = history.stopped()
    assert all(record.expected is not None for record in stopped)
    ignorant, taught = (Belief(problem, history.finished(), stopped=some) for some in ((), stopped))
    genomes = [record.genome for record in stopped]
    _, doubt, _ = ignorant.about(genomes)
    _, less_doubt, _ = taught.about(genomes)
    assert less_doubt.mean() < doubt.mean()


def test_the_frame_tells_the_stopped_apart(toy):
    history = search(toy)
    frame = results_frame(history)
    stopped = frame[frame["status"] == "stopped"]
    assert len(stopped) == len(history.stopped())
    assert stopped["expected"].notna().all()
    assert stopped["error"].isna().all()
    assert (stopped["tokens_seen"] < stopped["tokens_planned"]).all()
    assert frame[frame["status"] != "stopped"]["expected"].isna().all()
