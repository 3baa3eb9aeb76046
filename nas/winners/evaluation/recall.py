"""Recall asked of a trained model in words, without training it for the task: what `proxies/probes` asks of new ones.

Each prompt is text of about a given number of tokens with one answer in it. The answer is read off the likeliest
tokens; how likely it was says more where a model never gives it whole.

    phonebook   names with numbers, and a name at the end [arXiv 2406.07887, 3.3.2]
    needle      one number hidden in sentences that mean nothing, at any depth [arXiv 2404.06654, 3.1]
    copying     random words, and the first half of them again; asked for is the other half [arXiv 2402.01032]
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from nas.errors import UsageError
from nas.winners.evaluation.continuations import ContinuationScore, score_continuations
from operators.model import HybridLM
from proxies.tokenizers import Tokenizer
from search_spaces.errors import near_miss

_GIVEN: Final = (
    "Ada",
    "Ben",
    "Cora",
    "Dan",
    "Eva",
    "Finn",
    "Gina",
    "Hugo",
    "Ida",
    "Jack",
    "Kim",
    "Leo",
    "Mia",
    "Noah",
    "Olga",
    "Paul",
    "Rosa",
    "Sam",
    "Tara",
    "Will",
)
_FAMILY: Final = (
    "Adams",
    "Baker",
    "Clark",
    "Davis",
    "Evans",
    "Fox",
    "Green",
    "Hill",
    "Irwin",
    "Jones",
    "King",
    "Lewis",
    "Moore",
    "Price",
    "Reed",
    "Smith",
)

_HAY: Final = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
_SYLLABLES: Final = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeiou"]
_NUM_DIGITS: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A question with its answer."""

    context: str
    answer: str
    """What has to follow, the blank before it included."""


class MakePrompt(Protocol):
    """Writes a prompt with so many entries in it; more entries make it longer."""

    def __call__(self, num_entries: int, *, rng: np.random.Generator) -> Prompt:
        """Return a prompt, decided by `rng`."""


def phonebook(num_entries: int, *, rng: np.random.Generator) -> Prompt:
    """Return a book of at most 320 names and the question for one of them."""
    names = [f"{given} {family}" for given in _GIVEN for family in _FAMILY]
    chosen = rng.permutation(len(names))[: max(1, num_entries)]
    numbers = [_number(rng) for _ in chosen]
    lines = "".join(f"{names[name]}: {number}\n" for name, number in zip(chosen, numbers, strict=True))
    asked = int(rng.integers(len(chosen)))
    return Prompt(context=f"{lines}\n{names[chosen[asked]]}:", answer=f" {numbers[asked]}")


def needle(num_entries: int, *, rng: np.random.Generator) -> Prompt:
    """Return a haystack of so many sentences with one number in it, and the question for it."""
    sentences = _HAY.split(". ")[:-1]
    hay = [f"{sentences[index % len(sentences)]}. " for index in range(num_entries)]
    key, number = _word(rng), _number(rng)
    hay.insert(int(rng.integers(len(hay) + 1)), f"The special magic number for {key} is: {number}. ")
    return Prompt(context=f"{''.join(hay)}\nThe special magic number for {key} is:", answer=f" {number}")


def copying(num_entries: int, *, rng: np.random.Generator) -> Prompt:
    """Return so many random words twice, the answer being the second half of the second time."""
    words = [f" {_word(rng)}" for _ in range(max(2, num_entries))]
    half = len(words) // 2
    return Prompt(context=f"Words:{''.join(words)}\nWords:{''.join(words[:half])}", answer="".join(words[half:]))


TASKS: Final[dict[str, MakePrompt]] = {"phonebook": phonebook, "needle": needle, "copying": copying}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallScore:
    """How a model answered one task at one length."""

    task: str
    num_tokens: int
    """Asked for."""

    mean_tokens: float
    """Of the prompts, answers included."""

    num_prompts: int
    exact: float
    """Share of answers the model would have given whole, taking the likeliest token each time."""

    token_accuracy: float
    """Share of the answers' tokens that were likeliest, each after the true ones before it."""

    nats_per_byte: float
    """Of the answers; drawn digits are 2.303 to whoever has not seen them, and near 0 to whoever has and remembers."""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            "task": self.task,
            "length_tokens": self.num_tokens,
            "prompt_tokens": self.mean_tokens,
            "prompts": self.num_prompts,
            "exact": self.exact,
            "token_accuracy": self.token_accuracy,
            "nats_per_byte": self.nats_per_byte,
        }


def score_recall(
    model: HybridLM,
    tokenizer: Tokenizer,
    *,
    tasks: Sequence[str] = tuple(TASKS),
    lengths: Sequence[int],
    num_prompts: int,
    seed: int,
    batch_size: int = 1,
    report: Callable[[int, int], None] | None = None,
) -> list[RecallScore]:
    """Return the score of each task at each length.

    Args:
        model: on the device that computes.
        tokenizer: the model's.
        tasks: by name, see `TASKS`.
        lengths: tokens of a prompt with its answer, at most.
        num_prompts: of each task at each length.
        seed: of the prompts; the same for every model and tokenizer, up to their length.
        batch_size: prompts at once.
        report: called with how many scores there are, and how many there will be.

    Raises:
        UsageError: an unknown task, or a length that the shortest prompt exceeds.
    """
    check_tasks(tasks)
    scores: list[RecallScore] = []
    for name in tasks:
        for length in lengths:
            prompts = list(_prompts(name, tokenizer, length=length, num_prompts=num_prompts, seed=seed))
            pairs = [_encoded(prompt, tokenizer) for prompt in prompts]
            found = score_continuations(model, pairs, batch_size=batch_size, context_tokens=length)
            scores.append(_summary(name, length, prompts, pairs, found))
            if report is not None:
                report(len(scores), len(tasks) * len(lengths))
    return scores


def check_tasks(names: Sequence[str]) -> None:
    """Refuse names of no task.

    Raises:
        UsageError: naming the near miss.
    """
    for name in names:
        if name not in TASKS:
            raise UsageError(f"No recall task is called {name!r}.{near_miss(name, TASKS)}")


def _prompts(name: str, tokenizer: Tokenizer, *, length: int, num_prompts: int, seed: int) -> Iterator[Prompt]:
    make = TASKS[name]
    num_entries = _num_entries(make, tokenizer, name=name, length=length, seed=seed)
    for index in range(num_prompts):
        # A draw may take a few tokens more than the one that was measured.
        entries = num_entries
        while True:
            prompt = make(entries, rng=np.random.default_rng((seed, index)))
            if entries <= 1 or _size(prompt, tokenizer) <= length:
                break
            entries -= 1
        yield prompt


def _num_entries(make: MakePrompt, tokenizer: Tokenizer, *, name: str, length: int, seed: int) -> int:
    """Return how many entries fit into a prompt of so many tokens."""

    def size(num_entries: int) -> int:
        return _size(make(num_entries, rng=np.random.default_rng((seed, 0))), tokenizer)

    least = size(1)
    if least > length:
        raise UsageError(f"A prompt of {name} takes at least {least} tokens of this tokenizer; got {length}.")
    # The most, by doubling and halving the step; a book that has every name grows no more.
    entries, step = 1, 1
    while size(entries + step) <= length and step < length:
        entries += step
        step *= 2
    while step:
        if size(entries + step) <= length:
            entries += step
        step //= 2
    return entries


def _size(prompt: Prompt, tokenizer: Tokenizer) -> int:
    return sum(len(part) for part in _encoded(prompt, tokenizer))


def _encoded(prompt: Prompt, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    # Encoded together, as a model meets it in text; a token across the border counts as the question's.
    whole = tokenizer.encode(prompt.context + prompt.answer).tolist()
    border = len(tokenizer.encode(prompt.context))
    return whole[:border], whole[border:]


def _summary(
    name: str,
    length: int,
    prompts: Sequence[Prompt],
    pairs: Sequence[tuple[list[int], list[int]]],
    scores: Sequence[ContinuationScore],
) -> RecallScore:
    num_tokens = sum(score.num_tokens for score in scores)
    # The blank before an answer is no part of what has to be remembered.
    num_bytes = sum(len(prompt.answer.strip().encode("utf-8")) for prompt in prompts)
    return RecallScore(
        task=name,
        num_tokens=length,
        mean_tokens=sum(len(context) + len(answer) for context, answer in pairs) / len(pairs),
        num_prompts=len(prompts),
        exact=sum(score.is_greedy for score in scores) / len(scores),
        token_accuracy=sum(score.num_greedy for score in scores) / num_tokens if num_tokens else math.nan,
        nats_per_byte=-sum(score.log_likelihood for score in scores) / num_bytes,
    )


def _number(rng: np.random.Generator) -> str:
    return "".join(str(digit) for digit in rng.integers(10, size=_NUM_DIGITS))


def _word(rng: np.random.Generator) -> str:
    return "".join(_SYLLABLES[place] for place in rng.integers(len(_SYLLABLES), size=3))
