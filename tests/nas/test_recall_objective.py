"""Probes as the second expensive objective: what a configuration may say, and what an evaluation returns."""

from dataclasses import replace

import numpy as np
import pytest

from nas.candidates import Evaluated, Failed
from nas.config import load_config, read_config
from nas.errors import ConfigError
from nas.evaluation import ShortTrainingEvaluation
from proxies.data import load_corpus
from proxies.errors import SettingsError
from proxies.probes.difficulties import TASK_NAMES, make_suite
from proxies.probes.suite import ProbeSuite
from proxies.settings import TrainingSettings
from proxies.short_training import ShortTraining
from proxies.tokenizers import ByteTokenizer
from search_spaces.presets import load_preset

OBJECTIVES = "objectives=[perplexity, recall_error, latency_ms]"
PROBES = "proxy.probes={tasks: [multi_query_recall, phonebook], difficulty: tiny}"


def test_a_configuration_names_the_probes_and_keeps_them_when_written():
    config = load_config("quick-cpu", overrides=[OBJECTIVES, PROBES])
    assert config.expensive_objectives == ("perplexity", "recall_error")
    assert read_config(config.resolved().to_yaml(), where="again") == config.resolved()
    assert [probe.name for probe in config.proxy.probes.suite().probes] == ["multi_query_recall", "phonebook"]
    every = load_config("quick-cpu", overrides=[OBJECTIVES, "proxy.probes={}", "constraints={recall_error: 0.5}"])
    assert every.proxy.probes.tasks == TASK_NAMES
    assert every.proxy.probes.difficulty == "small"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([OBJECTIVES], "got the objective without proxy.probes"),
        ([PROBES], "got proxy.probes without the objective"),
        (["objectives=[perplexity, latency_ms, recall_error]", PROBES], "that cost an evaluation come first"),
        ([OBJECTIVES, "proxy.probes={tasks: [phonbook]}"], "no probe 'phonbook'. Did you mean 'phonebook'"),
        ([OBJECTIVES, "proxy.probes={tasks: []}"], "different names; got none"),
        ([OBJECTIVES, "proxy.probes={difficulty: hard}"], "difficulty"),
        (["constraints={recall_error: 0.5}"], "is no objective here"),
    ],
)
def test_probes_that_mean_nothing_are_refused(overrides, words):
    with pytest.raises((ConfigError, SettingsError), match=words):
        load_config("quick-cpu", overrides=overrides)


@pytest.fixture
def evaluation(tmp_path):
    (tmp_path / "text.txt").write_text("abcdefgh" * 4000)
    corpus = load_corpus(f"file:{tmp_path}/text.txt", tokenizer=ByteTokenizer(), sequence_tokens=32)
    settings = TrainingSettings(steps=2, sequence_tokens=32, validation_sequences=2, device="cpu")
    return ShortTrainingEvaluation(
        space=load_preset("quick-cpu"),
        proxy=ShortTraining(corpus=corpus, settings=settings),
        probes=make_suite("tiny", tasks=("multi_query_recall", "needle_retrieval")).on(settings),
    )


def test_a_candidate_has_a_recall_error_beside_its_perplexity(evaluation):
    outcome = evaluation(evaluation.space.sample(rng=np.random.default_rng(0)), 0)
    assert isinstance(outcome, Evaluated)
    assert list(outcome.objectives) == ["perplexity", "recall_error"]
    scores = [
        np.mean([max(0, (a["accuracy"] - a["chance"]) / (1 - a["chance"])) for a in probe["answers"]])
        for probe in outcome.details["probes"].values()
    ]
    assert len(scores) == 2
    assert outcome.objectives["recall_error"] == pytest.approx(1 - np.mean(scores))


def test_a_probe_without_a_score_fails_the_candidate_and_is_named(evaluation):
    wild = ProbeSuite(
        probes=tuple(
            replace(probe, settings=replace(probe.settings, learning_rate=1e38, clip_norm=1e9))
            for probe in evaluation.probes.probes
        )
    )
    outcome = replace(evaluation, probes=wild)(evaluation.space.sample(rng=np.random.default_rng(0)), 0)
    assert isinstance(outcome, Failed)
    assert outcome.kind == "diverged"
    assert outcome.message.startswith("The probe multi_query_recall: Diverged in step ")
