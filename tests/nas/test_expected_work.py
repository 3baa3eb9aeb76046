import pytest

from nas.config import load_config
from nas.expected_work import expected_work
from search_spaces import architecture_from_pattern

TYPICAL = architecture_from_pattern("m2 f a f", hidden_size=64, vocab_size=257)
PROBED = ("objectives=[perplexity, recall_error, latency_ms]", "proxy.probes={difficulty: tiny, tasks: [phonebook]}")


def work(*changes):
    return expected_work(load_config("quick-cpu", overrides=("budget.repeats=4", *changes)), TYPICAL)


def test_without_anything_else_it_is_the_candidates_and_their_repeats():
    found = work("budget.evaluations=50")
    assert (found.candidates, found.finished, found.total) == (50, 50, 54)


def test_halving_saves_most_of_a_long_search_and_nothing_of_the_first_candidates():
    long = work("budget.evaluations=400", "proxy.halving={}")
    assert 0.2 < long.candidates / 400 < 0.45
    assert long.finished < long.candidates
    assert work("budget.evaluations=6", "proxy.halving={}").candidates == 6


def test_more_rungs_save_more_and_a_larger_control_group_less():
    def spent(section):
        return work("budget.evaluations=400", f"proxy.halving={section}").candidates

    assert spent("{rungs: [0.1, 0.2, 0.4]}") < spent("{rungs: [0.1, 0.4]}") < spent("{rungs: [0.4]}")
    assert spent("{explore: 0.0}") < spent("{explore: 0.3}") < spent("{explore: 1.0}") == 400
    assert spent("{keep: 0.9}") > spent("{}")


def test_longer_trainings_come_in_rounds_of_what_finishes():
    found = work("budget.evaluations=28", "proxy.fidelity={every: 8, candidates: 2, tokens_multiple: 5}")
    assert (found.num_longer, found.longer, found.total) == (6, 30, 28 + 4 + 30)
    halved = work("budget.evaluations=28", "proxy.fidelity={every: 8, candidates: 2}", "proxy.halving={}")
    assert halved.num_longer < 6


def test_probes_are_of_what_is_trained_to_its_end_and_of_repeats():
    found = work("budget.evaluations=28", *PROBED)
    assert found.total == 32 + found.probes
    halved = work("budget.evaluations=28", *PROBED, "proxy.halving={}")
    assert halved.probes == pytest.approx(found.probes * (halved.finished + 4) / 32)
    half = work("budget.evaluations=28", *PROBED, "proxy.training.steps=400")
    twice = work("budget.evaluations=28", *PROBED, "proxy.training.steps=800")
    assert half.probes == pytest.approx(2 * twice.probes)
