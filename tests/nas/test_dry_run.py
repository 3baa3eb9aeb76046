import pytest
import torch

from nas.config import load_config
from nas.dry_run import PEAK_TFLOPS, UTILISATION, dry_run

needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU that is here is timed")

FAST = ("proxy.training.steps=20", "proxy.training.sequence_tokens=32", "proxy.training.batch_size=1")


def expected(*changes, name="quick-cpu"):
    return dry_run(load_config(name, overrides=changes))


def test_a_candidate_that_can_be_trained_here_is_timed_here():
    cost = expected(*FAST)
    assert cost.num_trainings == 32
    assert cost.time.seconds > 0
    assert cost.time.basis == "a few of its steps were timed here"
    assert f"{32 * 640:,} in all" in str(cost)
    assert "CPU core-hours in all" in str(cost)
    assert f"{cost.num_rows} rows needed, {cost.num_rows} to be measured" in str(cost)


@needs_no_gpu
def test_a_gpu_that_is_not_at_hand_is_reckoned_from_its_peak():
    gpus = ("resources.gpus_per_candidate=2", "latency.device=cuda", "latency.accelerator=H100")
    cost = expected(*gpus, "proxy.training.steps=20", "proxy.training.sequence_tokens=32")
    assert cost.time.seconds == pytest.approx(cost.training_flops / (2 * PEAK_TFLOPS["H100"] * 1e12 * UTILISATION), 0.5)
    assert "30% of the 989 TFLOP/s of a H100 is assumed" in str(cost)
    hours = float(str(cost).split("hours       ")[1].split(" GPU-hours")[0])
    assert hours == pytest.approx(32 * 2 * cost.time.seconds / 3600, 0.01)


@needs_no_gpu
def test_a_gpu_nobody_named_gives_no_figure_but_the_way_to_one():
    cost = expected("resources.gpus_per_candidate=1", *FAST)
    assert cost.time.seconds is None
    assert "unknown: the candidates' GPU is not at hand; set latency.accelerator" in str(cost)


def test_repeats_of_the_frontier_are_announced():
    assert "trained 3 times more" in str(expected("budget.frontier_repeats=3", *FAST))


def test_halving_probes_and_longer_trainings_are_in_the_sum_and_in_words():
    cost = expected(
        *FAST,
        "objectives=[perplexity, recall_error, latency_ms]",
        "proxy.probes={difficulty: tiny, tasks: [phonebook]}",
        "proxy.halving={}",
        "proxy.fidelity={every: 4, candidates: 1, tokens_multiple: 5}",
    )
    words = str(cost)
    assert f"about {round((cost.work.candidates + 4) * 640):,} in all" in words
    assert f"about {cost.work.candidates / 28:.0%} of the tokens of full trainings" in words
    assert "an estimate, from small hybrids" in words
    assert "phonebook (tiny): " in words
    assert f"{cost.work.num_longer} candidates trained 5 times as long: {cost.work.num_longer * 5 * 640:,} tok" in words
    assert "a record needs 5: raise candidates, or lower every" in words
    hours = float(words.split("hours       ")[1].split(" CPU core-hours")[0])
    assert hours == pytest.approx(cost.work.total * cost.time.seconds / 3600, 0.01)
