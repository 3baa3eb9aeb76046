import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch import nn

from proxies import ranks as ranks_module
from proxies.data import Corpus
from proxies.distributed import evaluate_together
from proxies.errors import LostProcessError, SettingsError
from proxies.processes import run_together
from proxies.ranks import Ranks, join
from proxies.result import ProxyResult
from proxies.settings import TrainingSettings
from proxies.short_training import short_training
from proxies.training import Report
from search_spaces import Architecture, UnavailableError, architecture_from_pattern

pytestmark = pytest.mark.usefixtures("leaves_no_process")

SETTINGS = TrainingSettings(
    steps=24,
    batch_size=4,
    sequence_tokens=64,
    validation_sequences=17,  # no multiple of the processes
    validation_every=8,
    clip_norm=0.3,
    device="cpu",
)
CPU = torch.device("cpu")


def tiny(pattern: str = "d f m2 f a f", *, vocab_size: int = 257) -> Architecture:
    return architecture_from_pattern(pattern, hidden_size=64, vocab_size=vocab_size)


def evaluated(corpus: Corpus, settings: TrainingSettings, *, num_processes: int, pattern: str) -> ProxyResult:
    settings = replace(settings, num_processes=num_processes)
    result = short_training(tiny(pattern), corpus=corpus, settings=settings, seed=3)
    return result


def assert_the_same(found: ProxyResult, expected: ProxyResult) -> None:
    assert found.status == expected.status == "finished"
    assert [point.loss for point in found.curve] == pytest.approx([point.loss for point in expected.curve], abs=1e-5)
    assert [point.tokens for point in found.curve] == [point.tokens for point in expected.curve]
    assert len(found.curve) == SETTINGS.steps
    validations = [point.validation_loss for point in expected.curve if point.validation_loss is not None]
    assert [point.validation_loss for point in found.curve if point.validation_loss is not None] == pytest.approx(
        validations, abs=1e-5
    )
    assert found.perplexity == pytest.approx(expected.perplexity, rel=1e-5)
    assert found.bits_per_byte == pytest.approx(expected.bits_per_byte, rel=1e-5)
    assert found.tokens_seen == expected.tokens_seen
    assert found.peak_memory_bytes is not None


def test_two_processes_score_as_one_with_normalised_weights_and_for_a_seed_bit_for_bit(library: Corpus) -> None:
    settings = replace(SETTINGS, weight_normalization=True, weight_decay=0.0)
    evaluate = partial(evaluated, library, settings, pattern="d f m2 f a f")
    first, second = evaluate(num_processes=2), evaluate(num_processes=2)
    assert_the_same(first, evaluate(num_processes=1))
    assert second.curve == first.curve
    assert second.perplexity == first.perplexity


def test_four_processes_score_as_one_also_where_some_have_nothing_to_validate(library: Corpus) -> None:
    settings = replace(SETTINGS, activation_checkpointing=True, weight_decay=0.3, validation_sequences=2)
    evaluate = partial(evaluated, library, settings, pattern="a f")
    assert_the_same(evaluate(num_processes=4), evaluate(num_processes=1))


def test_all_processes_see_a_divergence(library: Corpus) -> None:
    settings = replace(SETTINGS, steps=200, learning_rate=1e4, warmup_fraction=0.0)
    evaluate = partial(evaluated, library, settings, pattern="a f")
    found, expected = evaluate(num_processes=2), evaluate(num_processes=1)
    assert found.status == expected.status == "diverged"
    assert found.message.split(": ")[0] == expected.message.split(": ")[0]
    assert found.tokens_seen == expected.tokens_seen


def test_a_model_that_exceeds_memory_is_a_result(library: Corpus) -> None:
    settings = replace(SETTINGS, num_processes=2)
    result = short_training(tiny(vocab_size=2**50), corpus=library, settings=settings, seed=0)
    assert result.status == "out_of_memory"
    assert result.message.startswith("cpu ran out of memory: ")


def only_the_second(*, device: torch.device, ranks: Ranks, report: Report | None, then: str) -> ProxyResult:
    if ranks.rank == 0:
        ranks.sum_(torch.ones(3))
        ranks.sum_(torch.ones(3))
    ranks.sum_(torch.ones(3))
    if then == "raise":
        raise SettingsError("seven is too many")
    if then == "be killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return ProxyResult(status="out_of_memory", message="the second has too little")


def test_one_process_out_of_memory_while_another_waits_for_it_is_a_result() -> None:
    result = evaluate_together(partial(only_the_second, then="run out of memory"), devices=(CPU, CPU))
    assert (result.status, result.message) == ("out_of_memory", "the second has too little")


@pytest.mark.parametrize(
    ("then", "error", "words"),
    [("raise", SettingsError, "seven"), ("be killed", LostProcessError, "process 1 was ended by SIGKILL")],
)
def test_the_end_of_one_process_ends_the_exchange_of_the_others(then: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        evaluate_together(partial(only_the_second, then=then), devices=(CPU, CPU))


def test_a_process_killed_in_the_midst_of_training_ends_it(library: Corpus) -> None:
    others = set(psutil.Process().children())  # other tests of this process may have left theirs

    def kill_one(*_: object) -> None:
        (set(psutil.Process().children()) - others).pop().kill()

    settings = replace(SETTINGS, steps=1000, num_processes=2)
    with pytest.raises(LostProcessError, match=r"process [01] was ended by SIGKILL"):
        short_training(tiny(), corpus=library, settings=settings, seed=0, report=kill_one)


def average(rank: int, send: Callable[[Any], None], *, rendezvous: Path) -> list[list[float] | None]:
    ranks_module._BUCKET_ELEMENTS = 5  # type: ignore[misc]  # so that these few parameters fill several buckets
    ranks = join(rank=rank, count=2, device=CPU, rendezvous=rendezvous)
    sizes = (3, 2, 1, 9, 4)
    parameters = [nn.Parameter(torch.zeros(size, 1)) for size in sizes]
    parameters[2] = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    for number, parameter in enumerate(parameters[:-1]):
        parameter.grad = torch.full_like(parameter, 10.0 * number + rank)
    ranks.average_gradients(parameters)
    return [None if parameter.grad is None else parameter.grad.flatten().tolist() for parameter in parameters]


def test_gradients_of_any_size_and_dtype_are_averaged(tmp_path: Path) -> None:
    found = run_together(
        partial(average, rendezvous=tmp_path / "rendezvous"), count=2, on_message=print, decides=lambda _: False
    )
    expected = [[0.5] * 3, [10.5] * 2, [20.5], [30.5] * 9, None]
    assert found == (expected, expected)


def test_more_processes_than_gpus_are_an_error_of_the_environment(library: Corpus) -> None:
    count = torch.cuda.device_count() + 2
    settings = replace(SETTINGS, device="cuda", batch_size=count, num_processes=count)
    with pytest.raises(UnavailableError, match=rf"num_processes={count} needs a GPU|There is no device 'cuda'"):
        short_training(tiny(), corpus=library, settings=settings, seed=0)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_score_as_one(library: Corpus) -> None:
    settings = replace(SETTINGS, device="cuda", dtype="float32", weight_normalization=True, weight_decay=0.0)
    alone = evaluated(library, settings, num_processes=1, pattern="d f m2 f a f")
    together = evaluated(library, settings, num_processes=2, pattern="d f m2 f a f")
    assert together.perplexity == pytest.approx(alone.perplexity, rel=1e-3)
    assert [point.loss for point in together.curve] == pytest.approx([p.loss for p in alone.curve], abs=1e-3)
    assert alone.peak_memory_bytes is not None
    assert together.peak_memory_bytes is not None
    assert together.peak_memory_bytes < 1.5 * alone.peak_memory_bytes
