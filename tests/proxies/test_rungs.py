from dataclasses import replace

import pytest

from proxies.errors import SettingsError
from proxies.result import ProxyResult
from proxies.rungs import Rungs
from proxies.settings import TrainingSettings
from proxies.short_training import short_training
from search_spaces import architecture_from_pattern

SETTINGS = TrainingSettings(steps=20, sequence_tokens=32, validation_sequences=4, device="cpu")
TINY = architecture_from_pattern("m2 f", hidden_size=32, vocab_size=257)


def trained(library, limits, *, is_enforced=True, **settings):
    rungs = Rungs(shares=(0.1, 0.5), limits=limits, is_enforced=is_enforced)
    return short_training(TINY, corpus=library, settings=replace(SETTINGS, **settings), seed=0, rungs=rungs)


def test_a_training_ends_at_the_first_rung_whose_limit_it_breaks(library):
    whole = trained(library, (None, None))
    first, second = whole.rung_losses
    assert whole.status == "finished"
    assert [point.validation_loss for point in whole.curve if point.tokens in (2 * 64, 10 * 64)] == [first, second]
    stopped = trained(library, (first + 0.1, second - 0.1))
    assert stopped.status == "stopped"
    assert stopped.perplexity is None
    assert stopped.rung_losses == whole.rung_losses
    assert (stopped.tokens_seen, stopped.tokens_planned) == (10 * 64, 20 * 64)
    assert stopped.curve[-1].validation_loss == second
    at_once = trained(library, (first - 0.1, None))
    assert (at_once.tokens_seen, at_once.rung_losses) == (2 * 64, (first,))


def test_looking_early_changes_nothing_in_a_training_that_goes_on(library):
    alone = short_training(TINY, corpus=library, settings=SETTINGS, seed=0)
    assert trained(library, (99.0, 99.0)).perplexity == alone.perplexity
    assert trained(library, (0.0, 0.0), is_enforced=False).perplexity == alone.perplexity


def test_two_processes_agree_where_to_end(library):
    assert trained(library, (None, 0.0), num_processes=2).tokens_seen == 10 * 64


def test_rungs_of_very_few_steps_share_one(library):
    result = trained(library, (None, 0.0), steps=3)
    assert result.status == "stopped"
    assert len(Rungs(shares=(0.1, 0.2), limits=(None, None)).steps(4)) == 2
    assert trained(library, (0.0, 0.0), steps=1).status == "finished"


def test_a_stopped_result_survives_json(library):
    result = trained(library, (0.0, None))
    assert ProxyResult.from_dict(result.to_dict()) == result


def test_rungs_survive_json():
    rungs = Rungs(shares=(0.1, 0.5), limits=(None, 3.0), is_enforced=False)
    assert Rungs.from_dict(rungs.to_dict()) == rungs


@pytest.mark.parametrize("shares", [(), (0.5, 0.1), (0.1, 0.1), (0.0, 0.5), (0.5, 1.0)])
def test_rungs_out_of_order_are_refused(shares):
    with pytest.raises(SettingsError, match="ascending shares"):
        Rungs(shares=shares, limits=(None,) * len(shares))


def test_a_limit_is_missing():
    with pytest.raises(SettingsError, match="a limit or none for each share"):
        Rungs(shares=(0.1, 0.5), limits=(None,))
