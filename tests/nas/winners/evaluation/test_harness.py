"""The real harness on tasks and data of our own."""

import json
import random

import pytest
import torch
from lm_eval.api.instance import Instance

from latency.runtime import Sampling
from nas.errors import UsageError
from nas.winners.evaluation.harness import TaskScore, averages, run_tasks
from nas.winners.evaluation.harness_model import HarnessModel, _read
from proxies.errors import DataError
from proxies.tokenizers import ByteTokenizer

QUESTIONS = [
    {"question": "The apple is", "choices": [" red", " a car", " seven"], "answer": 0},
    {"question": "The sky is", "choices": [" loud", " blue"], "answer": 1},
    {"question": "One and one are", "choices": [" two", " three", " ten"], "answer": 0},
]

CHOICE = """
task: fruit
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: multiple_choice
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
doc_to_choice: "{{{{choices}}}}"
target_delimiter: ""
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
"""

ROLLING = """
task: sayings
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{{{question}}}}"
metric_list:
  - {{metric: bits_per_byte}}
"""

WRITING = """
task: writing
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: generate_until
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{choices[answer]}}}}"
generation_kwargs: {{until: ["e"], max_gen_toks: 12, do_sample: false}}
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
"""

GROUP = """
group: ours
task: [fruit, sayings]
aggregate_metric_list:
  - {metric: acc, aggregation: mean, weight_by_size: true}
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    data = folder / "questions.jsonl"
    data.write_text("\n".join(json.dumps(question) for question in QUESTIONS))
    for name, text in (("fruit", CHOICE), ("sayings", ROLLING), ("writing", WRITING)):
        (folder / f"{name}.yaml").write_text(text.format(data=data))
    (folder / "ours.yaml").write_text(GROUP)
    (folder / "lost.yaml").write_text(CHOICE.format(data=folder / "lost.jsonl").replace("task: fruit", "task: lost"))
    (folder / "unsafe.yaml").write_text("unsafe_code: true\n" + WRITING.format(data=data).replace("writing", "unsafe"))
    return folder


@pytest.fixture(scope="module")
def adapter(model):
    return HarnessModel(model, ByteTokenizer(), batch_size=3, context_tokens=256)


def requests(kind, *arguments):
    return [
        Instance(request_type=kind, doc={}, arguments=one, idx=index, metadata=("test", index, 1))
        for index, one in enumerate(arguments)
    ]


def log_likelihood(one_by_one, context, continuation):
    tokens = ByteTokenizer().encode(context + continuation).tolist()
    tokens = tokens if context else [256, *tokens]
    return -sum(one_by_one(tokens)[-len(continuation.encode()) :])


def test_likelihoods_of_answers_are_computed_as_by_hand(adapter, one_by_one):
    pairs = [("The apple is", " red"), ("The sky is", " a rather long answer"), ("", "no context"), ("blank ", "x")]
    found = adapter.loglikelihood(requests("loglikelihood", *pairs))
    for (context, continuation), (value, _) in zip(pairs, found, strict=True):
        # A blank at the end of a question belongs to the answer.
        moved = len(context) - len(context.rstrip())
        context, continuation = context.rstrip(), context[len(context) - moved :] + continuation
        assert value == pytest.approx(log_likelihood(one_by_one, context, continuation), rel=1e-4)


def test_a_task_s_accuracy_is_that_of_the_likeliest_answers(model, tasks, one_by_one):
    right = normed = 0
    for question in QUESTIONS:
        values = [log_likelihood(one_by_one, question["question"], choice) for choice in question["choices"]]
        right += max(range(len(values)), key=values.__getitem__) == question["answer"]
        per_letter = [value / len(choice) for value, choice in zip(values, question["choices"], strict=True)]
        normed += max(range(len(values)), key=per_letter.__getitem__) == question["answer"]
    (score,) = run_tasks(model, ByteTokenizer(), ["fruit"], task_folder=tasks, batch_size=4, context_tokens=256)
    assert score.metrics == {"acc,none": pytest.approx(right / 3), "acc_norm,none": pytest.approx(normed / 3)}
    assert (score.task, score.metric, score.num_questions, score.num_shots) == ("fruit", "acc_norm", 3, 0)
    assert score.value == pytest.approx(normed / 3)
    assert TaskScore.from_dict(json.loads(json.dumps(score.to_dict()))) == score


def test_bits_per_byte_of_texts_are_those_of_their_tokens(model, tasks, one_by_one):
    (score,) = run_tasks(model, ByteTokenizer(), ["sayings"], task_folder=tasks, batch_size=2, context_tokens=256)
    texts = [question["question"] for question in QUESTIONS]
    nats = -sum(log_likelihood(one_by_one, "", text) for text in texts)
    assert score.value == pytest.approx(nats / sum(map(len, texts)) / 0.6931, rel=1e-3)


def test_a_text_longer_than_the_context_is_read_in_windows(model, one_by_one):
    adapter = HarnessModel(model, ByteTokenizer(), batch_size=2, context_tokens=8)
    (found,) = adapter.loglikelihood_rolling(requests("loglikelihood_rolling", ("abcdefghijk",)))
    # The last window is as long as the others, and predicts only what they have not.
    by_hand = one_by_one([256, *b"abcdefgh"]) + one_by_one([*b"cdefghijk"])[-3:]
    assert found == pytest.approx(-sum(by_hand), rel=1e-4)


def test_what_is_generated_is_greedy_and_stops_at_the_word(model, adapter):
    tokens = list(b"The apple is")
    with torch.inference_mode():
        for _ in range(20):
            tokens.append(int(model(torch.tensor([tokens]))[0, -1].argmax()))
    said = ByteTokenizer().decode(torch.tensor(tokens[12:]).numpy())
    assert 256 not in tokens
    word = said[5:7]
    ask = {"until": [word], "max_gen_toks": 20}
    stopped, whole, short = adapter.generate_until(
        requests(
            "generate_until",
            ("The apple is", ask),
            ("The apple is", {"until": [], "max_gen_toks": 20}),
            ("The apple is", {"until": ["never said"], "max_gen_toks": 3}),
        )
    )
    assert stopped == said[: said.index(word)]
    assert whole == said
    assert short == ByteTokenizer().decode(torch.tensor(tokens[12:15]).numpy())


def test_generating_ends_with_the_document(model, adapter, monkeypatch):
    monkeypatch.setattr(
        "latency.runtime.Decoder.stream", lambda *_, **__: (torch.tensor([token]) for token in (104, 105, 256, 104))
    )
    assert adapter.generate_until(requests("generate_until", ("x", {"until": [], "max_gen_toks": 9}))) == ["hi"]


def test_a_task_that_writes_is_run(model, tasks):
    (score,) = run_tasks(model, ByteTokenizer(), ["writing"], task_folder=tasks, context_tokens=64)
    assert score.metric == "exact_match"
    assert 0 <= score.value <= 1


def test_a_group_is_one_figure_over_its_tasks(model, tasks):
    (score,) = run_tasks(model, ByteTokenizer(), ["ours"], task_folder=tasks, context_tokens=64)
    (alone,) = run_tasks(model, ByteTokenizer(), ["fruit"], task_folder=tasks, context_tokens=64)
    assert score.task == "ours"
    assert score.metrics["acc,none"] == alone.metrics["acc,none"]


def test_the_first_questions_only(model, tasks):
    (score,) = run_tasks(model, ByteTokenizer(), ["fruit"], task_folder=tasks, limit=2, context_tokens=64)
    assert score.num_questions == 2


def test_running_tasks_leaves_everybody_else_s_random_numbers_alone(model, tasks):
    before = random.getstate(), torch.get_rng_state()
    run_tasks(model, ByteTokenizer(), ["fruit"], task_folder=tasks, limit=1, context_tokens=64)
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_data_that_are_not_at_hand_name_the_task(model, tasks):
    with pytest.raises(DataError, match=r"The task 'lost' cannot be prepared: .*lost\.jsonl"):
        run_tasks(model, ByteTokenizer(), ["fruit", "lost"], task_folder=tasks, context_tokens=64)


def test_a_task_that_runs_code_needs_leave(model, tasks):
    with pytest.raises(UsageError, match="--run-code"):
        run_tasks(model, ByteTokenizer(), ["unsafe"], task_folder=tasks, context_tokens=64)


def test_a_mean_is_over_a_whole_set_only():
    def score(task, set_name, value):
        return TaskScore(
            task=task,
            set_name=set_name,
            metric="acc",
            value=value,
            error=None,
            num_shots=0,
            num_questions=1,
            metrics={},
        )

    pair = [score("gsm8k", "math", 0.5), score("mathqa", "math", 0.25)]
    assert averages([*pair, score("piqa", "commonsense", 1.0)]) == {"math": 0.375}
    assert averages([score("gsm8k", None, 0.5), score("mathqa", None, 0.25)]) == {}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"until": "x"}, (256, ["x"], Sampling())),
        ({"until": ["x", ""], "max_new_tokens": 5, "temperature": 0.7, "do_sample": False}, (5, ["x"], Sampling())),
        ({"temperature": 0.0, "top_p": 1.0}, (256, [], Sampling())),
        ({"temperature": 0.7, "top_k": 4}, (256, [], Sampling(temperature=0.7, top_k=4))),
        ({"do_sample": True, "max_gen_toks": 7}, (7, [], Sampling(temperature=1.0))),
    ],
)
def test_a_task_s_way_of_generating_is_read(settings, expected):
    assert _read(settings) == expected


def test_a_way_of_generating_that_we_have_not_is_refused():
    with pytest.raises(UsageError, match=r"top_p=0\.9"):
        _read({"do_sample": True, "top_p": 0.9})
