"""`nas eval`: what a checkpoint makes of text, of recall and of tasks of lm-evaluation-harness."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nas.cli.options import Json
from nas.cli.task_options import ContextTokens, Limit, OwnTokenizer, RunCode, Shots, TaskFolder, names_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nas.winners.evaluation.harness import TaskScore
    from nas.winners.evaluation.perplexity import TextScore
    from nas.winners.evaluation.recall import RecallScore


def evaluate(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CKPT", help="A checkpoint's folder, or a training's.", show_default=False)
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="URI",
            help="Text to predict: stdlib, file:…, hf:… or tokens:…; stdlib where nothing is asked for.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        Literal["validation", "train", "all"], typer.Option("--split", help="What of the text.")
    ] = "validation",
    validation_fraction: Annotated[
        float, typer.Option("--validation-fraction", help="Of the bytes of a text, as it was in training.")
    ] = 0.05,
    max_bytes: Annotated[
        int | None, typer.Option("--max-bytes", min=1, help="Of a text, where reading stops, as it was in training.")
    ] = None,
    sequence_tokens: Annotated[
        int, typer.Option("--sequence-tokens", min=1, help="Tokens of text the model sees at once.")
    ] = 1024,
    stride: Annotated[
        int | None,
        typer.Option(
            "--stride",
            min=1,
            help="Of these, how many are predicted: windows that overlap. All of them if left out.",
            show_default=False,
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", min=1, help="Predict about so many, spread over the text; all if left out."),
    ] = None,
    recall: Annotated[
        str | None,
        typer.Option(
            "--recall", metavar="A,B|all", help="Recall in words: phonebook, needle, copying.", show_default=False
        ),
    ] = None,
    lengths: Annotated[
        str, typer.Option("--lengths", metavar="256,1024", help="Tokens of a recall prompt.")
    ] = "256,1024",
    prompts: Annotated[int, typer.Option("--prompts", min=1, help="Of each recall task at each length.")] = 20,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the recall prompts.")] = 0,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            metavar="A,B",
            help="Sets (commonsense, mmlu, math, coding, recall) and tasks of lm-evaluation-harness.",
            show_default=False,
        ),
    ] = None,
    task_folder: TaskFolder = None,
    shots: Shots = None,
    limit: Limit = None,
    run_code: RunCode = False,
    context_tokens: ContextTokens = 4096,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Sequences at once.")] = 1,
    tokenizer: OwnTokenizer = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option("--dtype", help="Number format; as the weights were written if left out.", show_default=False),
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.")] = "auto",
    as_json: Json = False,
) -> None:
    """Evaluate a checkpoint: perplexity and bits per byte of a text, recall over a length, and tasks."""
    import json
    from functools import partial

    from nas.cli.counted_progress import tell
    from nas.winners.evaluation.task_names import asked_tasks, folders_of

    names = [] if tasks is None else names_in(tasks)
    recall_tasks = _recall_tasks(recall)
    recall_lengths = _lengths(lengths)
    if names:
        # Before a model is loaded, which may take a while.
        folders_of([task.name for task in asked_tasks(names)], own=task_folder)
    if data is None and not names and not recall_tasks:
        data = "stdlib"
    from latency.copies import TORCH_DTYPES
    from nas.winners.evaluation.own_tokenizer import tokenizer_of_model
    from nas.winners.model_folder import read_model_folder
    from nas.winners.weights import load_model
    from proxies.placement import resolve_device

    text_tokenizer = tokenizer_of_model(read_model_folder(checkpoint), asked=tokenizer)
    model, described = load_model(
        checkpoint, device=resolve_device(device), dtype=None if dtype is None else TORCH_DTYPES[dtype]
    )
    text: TextScore | None = None
    recalled: Sequence[RecallScore] = ()
    scores: Sequence[TaskScore] = ()
    if data is not None:
        from nas.winners.evaluation.perplexity import score_text
        from nas.winners.evaluation.text import open_text

        text = score_text(
            model,
            open_text(
                data,
                tokenizer=text_tokenizer,
                side=split,
                validation_fraction=validation_fraction,
                max_bytes=max_bytes,
            ),
            sequence_tokens=sequence_tokens,
            stride=stride,
            max_tokens=max_tokens,
            batch_size=batch_size,
            report=partial(tell, "windows"),
        )
    if recall_tasks:
        from nas.winners.evaluation.recall import score_recall

        recalled = score_recall(
            model,
            text_tokenizer,
            tasks=recall_tasks,
            lengths=recall_lengths,
            num_prompts=prompts,
            seed=seed,
            batch_size=batch_size,
            report=partial(tell, "recall scores"),
        )
    if names:
        from nas.winners.evaluation.harness import run_tasks

        scores = run_tasks(
            model,
            text_tokenizer,
            names,
            task_folder=task_folder,
            num_shots=shots,
            limit=limit,
            batch_size=batch_size,
            context_tokens=context_tokens,
            runs_code=run_code,
            report=tell,
        )
    if as_json:
        typer.echo(json.dumps(_document(described.folder, text, recalled, scores), indent=2))
        return
    architecture = described.architecture
    typer.echo(f"{described.folder}: {architecture.pattern}, width {architecture.hidden_size}")
    from nas.cli.task_table import task_tables

    parts = [_text_words(text), _recall_table(recalled), task_tables(scores) if scores else ""]
    typer.echo("\n\n".join(part for part in parts if part))


def _recall_tasks(text: str | None) -> list[str]:
    if text is None:
        return []
    from nas.winners.evaluation.recall import TASKS, check_tasks

    names = list(TASKS) if text == "all" else names_in(text)
    check_tasks(names)
    return names


def _lengths(text: str) -> list[int]:
    from nas.errors import UsageError

    lengths = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if 0 in lengths:
        raise UsageError(f"--lengths takes numbers of tokens as in 256,1024; got {text!r}.")
    return lengths


def _text_words(text: "TextScore | None") -> str:
    if text is None:
        return ""
    windows = "without overlap" if text.stride == text.sequence_tokens else f"by {text.stride}"
    return (
        f"Text: {text.uri}, {text.side}, {text.num_tokens:,} of {text.num_text_tokens:,} tokens, windows of "
        f"{text.sequence_tokens} {windows}\n"
        f"perplexity     {text.perplexity:.4g} per token\n"
        f"bits per byte  {text.bits_per_byte:.4f} over {text.num_bytes:,} bytes"
    )


def _recall_table(scores: "Sequence[RecallScore]") -> str:
    if not scores:
        return ""
    from nas.cli.text_table import text_table

    rows = [
        [
            score.task,
            f"{score.mean_tokens:.0f}",
            f"{score.exact:.1%}",
            f"{score.token_accuracy:.1%}",
            f"{score.nats_per_byte:.3f}",
            str(score.num_prompts),
        ]
        for score in scores
    ]
    heads = ["recall", "tokens", "whole answers", "tokens right", "nats per byte", "prompts"]
    return text_table(heads, rows, right=[False] + [True] * 5)


def _document(
    folder: Path, text: "TextScore | None", recalled: "Sequence[RecallScore]", scores: "Sequence[TaskScore]"
) -> dict[str, Any]:
    from nas.winners.evaluation.harness import averages
    from nas.winners.evaluation.published import published_beside

    means = averages(scores) if scores else {}
    names = [*(score.task for score in scores), *means]
    return {
        "checkpoint": str(folder),
        "text": None if text is None else text.to_dict(),
        "recall": [score.to_dict() for score in recalled],
        "tasks": [score.to_dict() for score in scores],
        "means": means,
        "published": [
            {"model": one.model, "source": one.source, "percent": dict(one.scores)} for one in published_beside(names)
        ],
    }
