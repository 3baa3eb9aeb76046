"""The texts of a training, opened, and the sequences of its steps and validations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from nas.winners.errors import DataEndedError
from nas.winners.mixture import MixedRows
from nas.winners.recipe import Recipe, usual_tokenizer
from nas.winners.stages import Plan, PlannedStage
from proxies.data import Corpus, load_corpus, sequences_at, validation_batch
from proxies.epochs import epoch_order
from proxies.errors import DataError
from proxies.tokenizers import Tokenizer, load_tokenizer
from proxies.validation import Validation

_RANDOM: Final = 1
_ORDER: Final = 2
"""Streams of random numbers, one for each use."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """Sequences of one source that are only validated on."""

    source: str
    sequences: NDArray[np.int64]
    """With the token after each, [sequences, sequence + 1]."""

    bytes_per_token: NDArray[np.int64] | NDArray[np.float64]

    @property
    def num_bytes(self) -> float:
        """Bytes that the predicted tokens stand for."""
        return float(self.bytes_per_token[self.sequences[:, 1:]].sum())


class Texts:
    """Every source of a recipe."""

    def __init__(self, recipe: Recipe, plan: Plan) -> None:
        """Open and, where they are text, tokenize the sources.

        Raises:
            DataError: a source cannot be read, is too short, or has another tokenizer than the others.
            UnavailableError: a package that a source or a tokenizer needs is missing.
        """
        name = usual_tokenizer(recipe)
        tokenizer = None if name is None else load_tokenizer(name)
        self._recipe = recipe
        self._plan = plan
        self._validation_tokens = recipe.validation.sequence_tokens or plan.stages[0].sequence_tokens
        self._corpora: dict[str, Corpus] = {}
        for source in recipe.sources:
            lengths = [
                stage.sequence_tokens for stage in plan.stages if any(each.source == source for each in stage.mixture)
            ]
            self._corpora[source] = load_corpus(
                source,
                tokenizer=tokenizer,
                sequence_tokens=max(*lengths, self._validation_tokens) if lengths else self._validation_tokens,
                validation_fraction=recipe.validation_fraction,
            )
        self._check_one_tokenizer()
        self._rows = [
            MixedRows([each.weight for each in stage.mixture], seed=_seed(recipe.seed, stage.index, _ORDER))
            for stage in plan.stages
        ]

    @property
    def tokenizer(self) -> Tokenizer:
        """Of all sources."""
        return next(iter(self._corpora.values())).tokenizer

    @property
    def hashes(self) -> dict[str, str]:
        """The hash of each source's text and its split, by its URI."""
        return {uri: corpus.sha256 for uri, corpus in self._corpora.items()}

    def to_dict(self) -> list[dict[str, Any]]:
        """Return what a record of the training keeps of each source."""
        return [corpus.to_dict() for corpus in self._corpora.values()]

    def batch(self, *, step: int, places_B: NDArray[np.int64]) -> torch.Tensor:
        """Return the sequences at these places of a step's batch with the token after each, [places, sequence + 1].

        A pure function of recipe, step and places, whoever asks.

        Raises:
            DataEndedError: a source that is to be read once has no more.
        """
        stage = self._plan.stage_of(step)
        first = (step - stage.first_step) * stage.batch_size
        all_B = first + np.arange(stage.batch_size, dtype=np.int64)
        sources_B, numbers_B = self._rows[stage.index].deal(all_B)
        out_BT = np.empty((len(places_B), stage.sequence_tokens + 1), dtype=np.int64)
        for index, source in enumerate(stage.mixture):
            (of_source_P,) = np.nonzero(sources_B == index)
            corpus = self._corpora[source.source]
            starts_P = self._starts(corpus, numbers_B[of_source_P], stage=stage, source=index, step=step)
            is_asked_B = sources_B[places_B] == index
            chosen_B = np.searchsorted(of_source_P, places_B[is_asked_B])
            if chosen_B.size:
                out_BT[is_asked_B] = sequences_at(
                    corpus.train, starts_P[chosen_B], sequence_tokens=stage.sequence_tokens
                )
        return torch.from_numpy(out_BT)

    def held_out(self) -> tuple[HeldOut, ...]:
        """Return what is validated on: of each source as much as its share of the training."""
        tokens: Mapping[str, float] = self._tokens_by_source()
        total = sum(tokens.values())
        return tuple(
            HeldOut(
                source=source,
                sequences=validation_batch(
                    corpus,
                    num_sequences=max(1, round(tokens[source] / total * self._recipe.validation.sequences)),
                    sequence_tokens=self._validation_tokens,
                ),
                bytes_per_token=corpus.bytes_per_token,
            )
            for source, corpus in self._corpora.items()
            if tokens[source]
        )

    def _tokens_by_source(self) -> dict[str, float]:
        tokens = dict.fromkeys(self._corpora, 0.0)
        for stage in self._plan.stages:
            whole = sum(each.weight for each in stage.mixture)
            for each in stage.mixture:
                tokens[each.source] += stage.tokens * each.weight / whole
        return tokens

    def _starts(
        self, corpus: Corpus, numbers_P: NDArray[np.int64], *, stage: PlannedStage, source: int, step: int
    ) -> NDArray[np.int64]:
        """Return where in its text each sequence begins."""
        length = stage.sequence_tokens
        if self._recipe.sampling == "random":
            rng = np.random.default_rng((self._recipe.seed, _RANDOM, stage.index, source, step))
            return rng.integers(0, corpus.train.num_tokens - length, size=len(numbers_P))
        num_sequences = (corpus.train.num_tokens - 1) // length
        if self._recipe.sampling == "once" and len(numbers_P) and int(numbers_P.max()) >= num_sequences:
            steps = step - stage.first_step
            to_end_there = f"To end it there lower its tokens to {steps * stage.tokens_per_step}; " if steps else ""
            raise DataEndedError(
                f"{corpus.uri} is to be read once and has {num_sequences} sequences of {length} tokens, all of them "
                f"seen after {steps} steps of stage {stage.index + 1}. {to_end_there}"
                f"{'to' if steps else 'To'} go on takes another training, with more text or sampling: epochs."
            )
        seed = _seed(self._recipe.seed, stage.index, _ORDER, source)
        return length * epoch_order(numbers_P, num_sequences=num_sequences, seed=seed)

    def _check_one_tokenizer(self) -> None:
        first, *others = self._corpora.values()
        for other in others:
            if other.tokenizer.to_dict() != first.tokenizer.to_dict():
                raise DataError(
                    f"All sources need one tokenizer; {first.uri} has {first.tokenizer.name!r}, {other.uri} has "
                    f"{other.tokenizer.name!r}. Prepare one of them with the other's."
                )


def together(validations: tuple[Validation, ...], held_out: tuple[HeldOut, ...]) -> Validation:
    """Return the mean over the sequences of all sources."""
    counts = [len(each.sequences) for each in held_out]
    sizes = [each.num_bytes for each in held_out]
    return Validation(
        loss=sum(each.loss * count for each, count in zip(validations, counts, strict=True)) / sum(counts),
        bits_per_byte=sum(each.bits_per_byte * size for each, size in zip(validations, sizes, strict=True))
        / sum(sizes),
    )


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
