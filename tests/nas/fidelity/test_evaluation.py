import pickle

import numpy as np
import pytest

from nas.candidates import Evaluated, Failed
from nas.evaluation import ShortTrainingEvaluation
from nas.fidelity.evaluation import TrainingEvaluation, lengthened
from nas.fidelity.training import AT_INITIALIZATION, Training
from proxies.data import load_corpus
from proxies.settings import TrainingSettings
from proxies.short_training import ShortTraining
from proxies.tokenizers import ByteTokenizer
from proxies.zero_cost import SALIENCIES
from search_spaces.presets import load_preset

SETTINGS = TrainingSettings(steps=8, sequence_tokens=32, batch_size=2, validation_sequences=4, device="cpu")


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("the quick brown fox jumps over the lazy dog; " * 400)
    corpus = load_corpus(f"file:{path}", tokenizer=ByteTokenizer(), sequence_tokens=32)
    proxy = ShortTraining(corpus=corpus, settings=SETTINGS)
    return ShortTrainingEvaluation(space=load_preset("quick-cpu"), proxy=proxy, width_fraction=1.0)


@pytest.fixture(scope="module")
def genome(short):
    return short.space.sample(rng=np.random.default_rng(0))


def test_a_length_multiplies_steps_and_arithmetic_and_nothing_else():
    settings = TrainingSettings(steps=100, flops=1e9, validation_every=10, learning_rate=1e-3)
    longer = lengthened(settings, times=2.5)
    assert (longer.steps, longer.flops, longer.validation_every) == (250, 2.5e9, None)
    rest = settings.to_dict() | {"steps": 250, "flops": 2.5e9, "validation_every": None}
    assert longer.to_dict() == rest
    assert lengthened(settings, times=0.001).steps == 1


def test_of_the_run_s_own_length_and_seed_it_is_the_run_s_own_training(short, genome):
    training = Training(trial=0, genome=genome, times=1.0, seed=5)
    ours = TrainingEvaluation(short=short)(training, 99)
    theirs = short(genome, 5)
    assert isinstance(ours, Evaluated)
    assert ours.objectives == theirs.objectives


def test_longer_training_sees_more_text(short, genome):
    evaluate = pickle.loads(pickle.dumps(TrainingEvaluation(short=short)))
    outcome = evaluate(Training(trial=0, genome=genome, times=3.0, seed=5), 0)
    assert outcome.details["tokens_seen"] == 3 * 8 * 64


def test_of_no_length_it_scores_without_training(short, genome):
    outcome = TrainingEvaluation(short=short)(Training(trial=0, genome=genome, times=AT_INITIALIZATION, seed=5), 0)
    assert set(outcome.details["scores"]) == set(SALIENCIES)
    assert outcome.objectives["perplexity"] > 100


def test_too_little_memory_is_a_failure_and_a_bug_is_not(short, genome, monkeypatch):
    training = Training(trial=0, genome=genome, times=AT_INITIALIZATION, seed=5)

    def raising(error):
        def score(*_, **__):
            raise error

        monkeypatch.setattr("nas.fidelity.evaluation.score_initialization", score)

    raising(MemoryError("no room"))
    outcome = TrainingEvaluation(short=short)(training, 0)
    assert isinstance(outcome, Failed)
    assert outcome.kind == "host_out_of_memory"
    raising(RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        TrainingEvaluation(short=short)(training, 0)
