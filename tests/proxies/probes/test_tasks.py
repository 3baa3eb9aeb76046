"""One contract for every task at every difficulty, and what is particular to each."""

from dataclasses import replace

import numpy as np
import pytest

from proxies.errors import SettingsError
from proxies.probes.compression import Compression
from proxies.probes.copying import SelectiveCopying
from proxies.probes.difficulties import TASK_NAMES, make_probe, make_suite
from proxies.probes.fuzzy_recall import FuzzyInContextRecall
from proxies.probes.in_context_recall import InContextRecall, NoisyInContextRecall
from proxies.probes.memorization import Memorization
from proxies.probes.multi_query_recall import MultiQueryRecall
from proxies.probes.needle import NeedleRetrieval
from proxies.probes.phonebook import Phonebook
from proxies.probes.task import IGNORED, ProbeTask

EVERY = [
    pytest.param(task, id=f"{name}-{difficulty}-{task.num_tokens}")
    for name in TASK_NAMES
    for difficulty in ("tiny", "small", "full")
    for probe in [make_probe(name, difficulty=difficulty)]
    for task in (probe.task, *probe.longer)
]


def drawn(task: ProbeTask, num_sequences: int, *, seed: int = 0):
    questions = task.sample(num_sequences, rng=np.random.default_rng(seed))
    return questions.tokens, questions.labels


def small(name: str) -> ProbeTask:
    return make_probe(name, difficulty="small").task


@pytest.mark.parametrize("task", EVERY)
def test_sequences_have_the_stated_length_and_vocabulary_and_each_asks_something(task):
    tokens, labels = drawn(task, 8)
    assert tokens.shape == labels.shape == (8, task.num_tokens)
    assert tokens.dtype == labels.dtype == np.int64
    assert 0 <= tokens.min() <= tokens.max() < task.vocab_size
    asked = labels[labels != IGNORED]
    assert 0 <= asked.min() <= asked.max() < task.vocab_size
    assert (labels != IGNORED).any(axis=1).all()


@pytest.mark.parametrize("task", EVERY)
def test_the_same_seed_draws_the_same_and_another_seed_others(task):
    first, again, other = drawn(task, 4), drawn(task, 4), drawn(task, 4, seed=1)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("name", TASK_NAMES)
def test_no_answer_that_does_not_look_at_the_sequence_beats_chance(name):
    task = small(name)
    _, labels = drawn(task, 2000)
    counts = np.bincount(labels[labels != IGNORED], minlength=task.vocab_size)
    # The best constant answer; the largest of many equal shares lies a few deviations above their mean.
    deviation = (task.chance / counts.sum()) ** 0.5
    assert counts.max() / counts.sum() == pytest.approx(task.chance, abs=6 * deviation)
    assert np.count_nonzero(counts) == round(1 / task.chance)


@pytest.mark.parametrize("name", [name for name in TASK_NAMES if name != "compression"])
def test_the_token_an_answer_follows_does_not_tell_it(name):
    """But for memorisation, whose answer is decided two tokens before and by nothing in the sequence."""
    task = small(name)
    tokens, labels = drawn(task, 2000)
    is_asked = labels != IGNORED
    pairs = np.zeros((task.vocab_size, task.vocab_size))
    np.add.at(pairs, (tokens[is_asked], labels[is_asked]), 1)
    # Knowing the token before, the likeliest answer; fuzzy motifs do not repeat a token, which excludes a few.
    assert pairs.max(axis=1).sum() / pairs.sum() < min(0.5, 2 * task.chance + 0.05)


def recalled_pairs(tokens, *, num_keys):
    """Look up the last value of a key by the tokens alone."""
    table = {}
    answers = {}
    for place in range(0, len(tokens), 2):
        key, value = tokens[place], tokens[place + 1]
        if key < num_keys:
            if key in table:
                answers[place] = table[key]
            table[key] = value
    return answers


def fuzzy(tokens, task):
    table, answers = {}, {}
    place = int((tokens == task.vocab_size - 1).sum())
    while place < len(tokens):
        key_end = place
        while tokens[key_end] < task.num_key_tokens:
            key_end += 1
        end = key_end
        while end < len(tokens) and tokens[end] >= task.num_key_tokens:
            end += 1
        key = tuple(tokens[place:key_end])
        if key in table:
            answers |= {key_end - 1 + offset: token for offset, token in enumerate(table[key])}
        table.setdefault(key, tuple(tokens[key_end:end]))
        place = end
    return answers


def copied(tokens, task):
    end = int(np.flatnonzero(tokens == task.vocab_size - 1)[0])
    kept = [token for token in tokens[:end] if token < task.num_symbols]
    return {end + 1 + place: token for place, token in enumerate(kept)}


def queried(tokens, task):
    context = tokens[: 2 * task.num_pairs]
    table = dict(zip(context[0::2], context[1::2], strict=True))
    return {p: table[tokens[p]] for p in range(2 * task.num_pairs, len(tokens)) if tokens[p] in table}


def looked_up(tokens, task):
    line_end, question = task.vocab_size - 2, task.vocab_size - 1
    book = {
        tuple(tokens[start + 1 : start + 3]): tokens[start + 3 : start + 3 + task.num_digits]
        for start in np.flatnonzero(tokens == line_end)
    }
    return {
        start + 2 + place: digit
        for start in np.flatnonzero(tokens == question)
        for place, digit in enumerate(book[tuple(tokens[start + 1 : start + 3])])
    }


def found(tokens, task):
    needle, question = task.vocab_size - 2, task.vocab_size - 1
    table = {tokens[place + 1]: tokens[place + 2] for place in np.flatnonzero(tokens == needle)}
    return {place + 1: table[tokens[place + 1]] for place in np.flatnonzero(tokens == question)}


SOLVERS = {
    InContextRecall: lambda tokens, task: recalled_pairs(tokens, num_keys=task.num_keys),
    NoisyInContextRecall: lambda tokens, task: recalled_pairs(tokens, num_keys=task.num_keys),
    FuzzyInContextRecall: fuzzy,
    SelectiveCopying: copied,
    Compression: lambda tokens, task: dict(enumerate(tokens[:-1])),
    MultiQueryRecall: queried,
    Phonebook: looked_up,
    NeedleRetrieval: found,
}


@pytest.mark.parametrize("task", [case for case in EVERY if not isinstance(case.values[0], Memorization)])
def test_a_rule_that_reads_only_the_tokens_gives_every_answer_and_no_other_is_asked_for(task):
    for tokens, labels in zip(*drawn(task, 16), strict=True):
        asked = {int(place): int(labels[place]) for place in np.flatnonzero(labels != IGNORED)}
        assert {int(place): int(token) for place, token in SOLVERS[type(task)](tokens, task).items()} == asked


def test_memorised_facts_are_the_same_in_every_sequence_and_stand_in_none():
    task = Memorization(num_pairs=8, num_facts=10)
    facts = {}
    for seed in (0, 1):
        tokens, labels = drawn(task, 50, seed=seed)
        assert not np.isin(tokens, labels[labels != IGNORED]).any()
        for key, value in zip(tokens[:, 0::2].ravel(), labels[:, 1::2].ravel(), strict=True):
            assert facts.setdefault(key, value) == value
    assert len(set(facts.values())) == 10
    assert not np.array_equal(drawn(task, 1)[1], drawn(replace(task, table_seed=1), 1)[1])


def test_a_phonebook_has_every_name_once_and_asks_for_different_ones():
    task = Phonebook(num_entries=16, num_given_names=4, num_family_names=4, num_questions=16)
    tokens, _ = drawn(task, 4)
    lines = np.concatenate((tokens, np.zeros((4, 1), dtype=np.int64)), axis=1).reshape(4, 32, -1)[:, :, 1:3]
    for names in lines:
        assert len(set(map(tuple, names[:16]))) == len(set(map(tuple, names[16:]))) == 16


def test_queries_follow_their_pairs_the_closer_the_smaller_the_power():
    def mean_place(power):
        tokens, labels = drawn(
            MultiQueryRecall(num_tokens=256, num_pairs=4, num_keys=8, num_values=8, power=power), 200
        )
        assert tokens.shape == labels.shape
        return np.nonzero(labels != IGNORED)[1].mean()

    uniform = mean_place(1.0)
    assert uniform == pytest.approx((8 + 256) / 2, rel=0.1)
    assert mean_place(0.01) < 0.6 * uniform


def test_needles_lie_anywhere_in_the_haystack():
    task = NeedleRetrieval(num_tokens=40, num_needles=1)
    places = np.nonzero(drawn(task, 500)[0] == task.vocab_size - 2)[1]
    assert set(places) == set(range(40 - 2 - 3 + 1))


def test_noise_takes_its_share():
    task = NoisyInContextRecall(num_pairs=50, noise_fraction=0.4)
    tokens, _ = drawn(task, 200)
    assert (tokens >= 16).mean() == pytest.approx(0.4 * 48 / 50, abs=0.02)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: InContextRecall(num_keys=0), "InContextRecall.num_keys must be a whole number of at least 1; got 0"),
        (lambda: NoisyInContextRecall(noise_fraction=1.0), "a share below 1"),
        (lambda: FuzzyInContextRecall(num_keys=9), "as many key tokens as keys"),
        (lambda: SelectiveCopying(num_tokens=8, num_to_copy=4), "at least 9; got 8"),
        (lambda: MultiQueryRecall(num_tokens=33), "an even number of tokens"),
        (lambda: Phonebook(num_entries=300, num_given_names=16), "num_family_names must be .* at least 19; got 16"),
        (lambda: NeedleRetrieval(num_tokens=10), "at least 14; got 10"),
        (lambda: make_probe("phonbook", difficulty="tiny"), "Did you mean 'phonebook'"),
        (lambda: make_suite("tiny", tasks=()), "got none"),
        (lambda: make_suite("tiny", tasks=("phonebook", "phonebook")), "different names"),
    ],
)
def test_what_cannot_be_asked_is_refused(make, words):
    with pytest.raises(SettingsError, match=words):
        make()
