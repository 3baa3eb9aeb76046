import os
import signal
from dataclasses import replace

import numpy as np
import psutil
import pytest

from nas.candidates import Evaluated, Failed
from nas.evaluation import ShortTrainingEvaluation
from proxies.data import load_corpus
from proxies.settings import TrainingSettings
from proxies.short_training import ShortTraining
from proxies.tokenizers import ByteTokenizer
from search_spaces.presets import load_preset


@pytest.fixture
def evaluation(tmp_path):
    (tmp_path / "text.txt").write_text("abcdefgh" * 4000)
    corpus = load_corpus(f"file:{tmp_path}/text.txt", tokenizer=ByteTokenizer(), sequence_tokens=32)
    settings = TrainingSettings(steps=2, sequence_tokens=32, validation_sequences=2, device="cpu")
    return ShortTrainingEvaluation(
        space=load_preset("quick-cpu"), proxy=ShortTraining(corpus=corpus, settings=settings)
    )


def test_a_candidate_is_scored(evaluation):
    outcome = evaluation(evaluation.space.sample(rng=np.random.default_rng(0)), 0)
    assert isinstance(outcome, Evaluated)
    assert 1 < outcome.objectives["perplexity"] < 1000


def test_a_killed_process_of_several_is_a_lost_worker(evaluation):
    proxy = evaluation.proxy
    others = set(psutil.Process().children())  # other tests of this process may have left theirs

    class KillsOne(ShortTraining):
        def evaluate(self, architecture, *, seed, report=None, rungs=None):
            def kill_one(*_):
                os.kill((set(psutil.Process().children()) - others).pop().pid, signal.SIGKILL)

            return super().evaluate(architecture, seed=seed, report=kill_one, rungs=rungs)

    settings = replace(proxy.settings, steps=1000, num_processes=2)
    killed = replace(evaluation, proxy=KillsOne(corpus=proxy.corpus, settings=settings))
    outcome = killed(evaluation.space.sample(rng=np.random.default_rng(0)), 0)
    assert isinstance(outcome, Failed)
    assert outcome.kind == "lost_worker"
    assert "was ended by SIGKILL" in outcome.message
