"""A model as lm-evaluation-harness wants one: likelihoods of answers and of texts, and text until a word.

Likelihoods are computed in batches, padded on the right; text is generated a sequence at a time by the decoder that
latency tables describe. Which tasks ask for it is `harness.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from latency.runtime import Decoder, Sampling
from nas.errors import UsageError
from nas.winners.evaluation.continuations import score_continuations
from nas.winners.text_stream import TextStream
from operators.model import HybridLM
from proxies.tokenizers import Tokenizer

GENERATED_TOKENS: Final = 256
"""Where a task does not say how many at most; the harness's own default."""

_NEUTRAL: Final = {"top_p": (None, 1, 1.0), "num_beams": (None, 1), "max_length": (None,), "min_new_tokens": (None, 0)}
"""Settings of generation that other models know, with the values that change nothing."""

Report = Callable[[str, int, int], None]
"""Called with what is computed, how many are done and how many there are."""


class HarnessModel(TemplateLM):  # type: ignore[misc]  # the harness has no types
    """A model with its tokenizer, for the tasks of the harness."""

    def __init__(
        self,
        model: HybridLM,
        tokenizer: Tokenizer,
        *,
        batch_size: int,
        context_tokens: int,
        report: Report | None = None,
    ) -> None:
        """Wrap a model.

        Args:
            model: on the device that computes.
            tokenizer: the model's.
            batch_size: sequences whose likelihood is computed at once.
            context_tokens: tokens the model sees at most; of longer prompts the end is kept.
            report: is told how it goes.
        """
        super().__init__()
        self._model = model
        self._text = tokenizer
        self._batch_size = batch_size
        self._context_tokens = context_tokens
        self._report = report
        self._decoders: dict[tuple[int, Sampling], Decoder] = {}

    @property
    def eot_token_id(self) -> int:
        """What ends a document, and so stands before each."""
        return self._text.end_of_document

    @property
    def max_length(self) -> int:
        """Tokens the model sees at most."""
        return self._context_tokens

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Return the tokens of a text; the tokenizer adds none of its own, and never did in training."""
        del add_special_tokens, kwargs
        tokens: list[int] = self._text.encode(string).tolist()
        return tokens

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Return nats of each continuation after its context, and whether it is what the model would say."""
        found: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        return found

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[tuple[str, str], list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        del kwargs
        scores = score_continuations(
            self._model,
            [(context, continuation) for _, context, continuation in requests],
            batch_size=self._batch_size,
            context_tokens=self._context_tokens,
            report=self._told("answers"),
        )
        return [(score.log_likelihood, score.is_greedy) for score in scores]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[float]:
        """Return nats of each text, in windows that predict every token once, the first after an end of document."""
        del disable_tqdm
        owners: list[int] = []
        pairs: list[tuple[list[int], list[int]]] = []
        for owner, request in enumerate(requests):
            windows = get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]),
                prefix_token=self.prefix_token_id,
                max_seq_len=self._context_tokens,
                context_len=1,
            )
            for window in map(make_disjoint_window, windows):
                owners.append(owner)
                pairs.append(window)
        scores = score_continuations(
            self._model,
            pairs,
            batch_size=self._batch_size,
            context_tokens=self._context_tokens,
            report=self._told("texts"),
        )
        totals = [0.0] * len(requests)
        for owner, score in zip(owners, scores, strict=True):
            totals[owner] += score.log_likelihood
        return totals

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[str]:
        """Return what the model writes after each prompt, until one of the task's words or the end of the document.

        Raises:
            UsageError: a task asks for a way of generating that the decoder does not have.
        """
        del disable_tqdm
        told = self._told("generated texts")
        texts = []
        for request in requests:
            prompt, settings = request.args
            texts.append(self._generate(prompt, settings))
            if told is not None:
                told(len(texts), len(requests))
        return texts

    def _generate(self, prompt: str, settings: Mapping[str, Any]) -> str:
        num_tokens, until, sampling = _read(settings)
        room = self._context_tokens - num_tokens
        if room < 1:
            raise UsageError(
                f"The task lets the model write {num_tokens} tokens, which must leave room for a prompt in the "
                f"{self._context_tokens} it sees. Raise --context-tokens."
            )
        tokens = (self.tok_encode(prompt) or [self.prefix_token_id])[-room:]
        decoder = self._decoder(sampling)
        stream = TextStream(self._text, context=tokens)
        text = ""
        prompt_BT = torch.tensor([tokens], device=self._model.embedding.device)
        for token_B in decoder.stream(prompt_BT, num_tokens=num_tokens):
            token = int(token_B)
            if token == self.eot_token_id:
                break
            text += stream.add(token)
            if any(word in text for word in until):
                break
        text += stream.end()
        return text[: min((place for word in until if (place := text.find(word)) >= 0), default=len(text))]

    def _decoder(self, sampling: Sampling) -> Decoder:
        """Return a decoder; its buffers, and on a GPU its graph, are made once for all prompts."""
        key = (self._context_tokens, sampling)
        if key not in self._decoders:
            self._decoders[key] = Decoder(self._model, batch_size=1, max_tokens=self._context_tokens, sampling=sampling)
        return self._decoders[key]

    def _told(self, what: str) -> Callable[[int, int], None] | None:
        report = self._report
        return None if report is None else lambda done, total: report(what, done, total)


def _read(settings: Mapping[str, Any]) -> tuple[int, list[str], Sampling]:
    """Return tokens at most, words to stop at, and how tokens are chosen."""
    left = dict(settings)
    until = left.pop("until", None) or []
    until = [until] if isinstance(until, str) else [str(word) for word in until if word]
    limits = [left.pop(name, None) for name in ("max_gen_toks", "max_new_tokens", "max_tokens")]
    num_tokens = next((int(limit) for limit in limits if limit is not None), GENERATED_TOKENS)
    temperature, top_k = left.pop("temperature", None), left.pop("top_k", None)
    does_sample = left.pop("do_sample", None)
    for name, value in left.items():
        if value not in _NEUTRAL.get(name, (None,)):
            raise UsageError(
                f"The decoder chooses by temperature and top_k; a task asks for {name}={value!r}. "
                "Change the task's generation_kwargs."
            )
    if does_sample is None:
        does_sample = bool(temperature)
    if not does_sample:
        return num_tokens, until, Sampling()
    return (
        num_tokens,
        until,
        Sampling(temperature=1.0 if temperature is None else float(temperature), top_k=top_k or None),
    )
