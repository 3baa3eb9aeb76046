"""The tokenizer that reads and writes for a checkpoint: its own, or one that is named where it has none."""

from nas.errors import CheckpointError, UsageError
from nas.winners.model_folder import ModelFolder
from proxies.tokenizers import Tokenizer, load_tokenizer


def tokenizer_of_model(described: ModelFolder, *, asked: str | None = None) -> Tokenizer:
    """Return a model's tokenizer.

    Args:
        described: the model.
        asked: `bytes`, a tokenizer.json or `hf:NAME`; for models that come without one.

    Raises:
        CheckpointError: there is none, or its tokens are more than the model's.
        UsageError: one is asked for that is not the model's own.
        DataError: the one asked for cannot be read.
        UnavailableError: a package that it needs is missing.
    """
    own = described.tokenizer
    if asked is None:
        if own is None:
            raise CheckpointError(
                f"Text needs a tokenizer, and {described.folder} does not say which the model was trained with. "
                "Name it: --tokenizer bytes, a tokenizer.json or hf:NAME."
            )
        return own
    tokenizer = load_tokenizer(asked)
    if own is not None and not is_same_tokenizer(own, tokenizer):
        raise UsageError(
            f"A model means something only with its own tokenizer, {own.name!r} in {described.folder}; got "
            f"--tokenizer {asked}. Leave it out."
        )
    if tokenizer.vocab_size > described.architecture.vocab_size:
        raise CheckpointError(
            f"A model's vocabulary must hold every token; {asked} has {tokenizer.vocab_size}, the model in "
            f"{described.folder} {described.architecture.vocab_size}. Name the tokenizer it was trained with."
        )
    return tokenizer


def is_same_tokenizer(first: Tokenizer, second: Tokenizer) -> bool:
    """Whether both give the same tokens for every text, wherever they were found."""
    return _identity(first) == _identity(second)


def _identity(tokenizer: Tokenizer) -> tuple[object, ...]:
    """Return what makes a tokenizer this one; its name only says where it was found."""
    record = tokenizer.to_dict()
    return (record.get("sha256", tokenizer.name), tokenizer.end_of_document)
