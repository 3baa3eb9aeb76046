"""One process's part of a training: everything made, restored from the newest checkpoint, trained, written.

The folder and the processes are begun by `start.py`; what processes exchange is `parallel/`, the steps are `loop.py`.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from latency.device_probe import current_fingerprint
from nas.environment import describe_environment
from nas.errors import CheckpointError
from nas.winners.checkpoint_files import (
    TRAINING,
    checkpoint_folder,
    checkpoint_steps,
    damage,
    has_damaged,
    read_state,
    remove_partial,
    set_aside,
)
from nas.winners.checkpoints import Checkpoints, load_tensors, tensor_names
from nas.winners.compiled_layers import compiled_layers
from nas.winners.errors import TrainingError
from nas.winners.evaluation.own_tokenizer import is_same_tokenizer
from nas.winners.float8 import to_float8_
from nas.winners.loop import WEIGHTS_PREFIX, Parts, Status, TrainingLoop
from nas.winners.loss import Teacher, TrainingLoss
from nas.winners.model_folder import read_model_folder
from nas.winners.optimizer_state import prepare_optimizer
from nas.winners.parallel.protocol import Parallel
from nas.winners.progress import Silent, TrainingObserver
from nas.winners.recipe import DistillationConfig, Recipe
from nas.winners.stages import Plan, check_divides
from nas.winners.texts import Texts
from nas.winners.tracking.log_file import LogFile, cut_back
from nas.winners.tracking.tracker import Tracker
from nas.winners.tracking.trackers import open_trackers
from nas.winners.training_directory import TrainingDirectory, check_same_architecture
from nas.winners.weight_average import WeightAverage
from nas.winners.weights import load_model
from operators.model import HybridLM
from proxies.errors import DataError
from proxies.memory import is_out_of_memory
from proxies.optimizer import make_updates
from proxies.placement import check_dtype, num_threads
from proxies.tokenizers import Tokenizer
from proxies.validation import Validation
from search_spaces import Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """What is to be trained, how and where to; picklable."""

    architecture: Architecture
    recipe: Recipe
    """Resolved."""

    output: Path
    resume: bool = False
    """Go on where a training was begun in `output`; where none was, begin."""

    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Where the architecture comes from; kept in every checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEnd:
    """How far a training got, and what it is worth there."""

    status: Status
    step: int
    tokens: int
    seconds: float
    checkpoint: Path
    validation: Validation | None
    """The last one, also of an earlier session."""


def run_training(
    request: TrainingRequest,
    *,
    parallel: Parallel,
    observer: TrainingObserver | None = None,
    is_interrupted: Callable[[], bool] = lambda: False,
) -> TrainingEnd:
    """Train to the end, or until interrupted; either way everything done is in a checkpoint.

    On one machine's CPU an interruption changes no bit of what follows; on a GPU some kernels add in another order each
    time. Sets torch's thread count meanwhile.

    Raises:
        ConfigError: batches that cannot be shared out.
        CheckpointError: checkpoints of another architecture, or none that is whole.
        DataError: a source that cannot be read or is too short, or a vocabulary too small for its tokens.
        UnavailableError: no such device, or a missing package.
        TrainingError: the training diverged, memory or disk were too small, or its data ended.
    """
    # What is said once is said, and what is written once is written, by the first process.
    observer = observer if observer is not None and parallel.is_first else Silent()
    recipe, directory = request.recipe, TrainingDirectory(request.output)
    plan = Plan(recipe)
    check_divides(plan, num_processes=parallel.count)
    check_dtype(recipe.dtype, device=parallel.device)
    with ExitStack() as stack:
        stack.enter_context(num_threads(recipe.num_threads))
        texts = Texts(recipe, plan)
        check_vocabulary(request.architecture, texts.tokenizer)
        if parallel.is_first:
            device = current_fingerprint(str(parallel.device), num_threads=recipe.num_threads).device_name
            directory.write_environment({**describe_environment(), "device": device, "texts": texts.to_dict()})
        try:
            return _train(
                request,
                directory,
                plan=plan,
                texts=texts,
                parallel=parallel,
                observer=observer,
                is_interrupted=is_interrupted,
            )
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"{parallel.device} ran out of memory: {first} Set activation_checkpointing: true, or raise "
            "num_micro_batches, and continue with --resume."
        )


def check_same_texts(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Check that texts are what they were; a stage that has not begun may name others.

    Raises:
        CheckpointError: one has changed.
    """
    for uri, sha256 in before.items():
        if now.get(uri, sha256) != sha256:
            raise CheckpointError(
                f"A training goes on with the text it began with; {uri} has sha256 {now[uri][:12]}, it had "
                f"{sha256[:12]}. Restore it, or begin anew with another --output."
            )


def check_vocabulary(architecture: Architecture, tokenizer: Tokenizer) -> None:
    """Check that a model has a row for every token.

    Raises:
        DataError: it has not.
    """
    if architecture.vocab_size < tokenizer.vocab_size:
        raise DataError(
            f"The vocabulary must cover the {tokenizer.vocab_size} tokens of {tokenizer.name!r}; the architecture's "
            f"holds {architecture.vocab_size}. Set --vocab-size {tokenizer.vocab_size}, or name another tokenizer."
        )


def _train(
    request: TrainingRequest,
    directory: TrainingDirectory,
    *,
    plan: Plan,
    texts: Texts,
    parallel: Parallel,
    observer: TrainingObserver,
    is_interrupted: Callable[[], bool],
) -> TrainingEnd:
    recipe = request.recipe
    model = HybridLM(request.architecture, seed=recipe.seed).to(parallel.device)
    model.checkpoints_activations = recipe.activation_checkpointing
    if recipe.fp8:
        to_float8_(model, device=parallel.device)
    teacher = None
    if recipe.distillation is not None:
        teacher = _load_teacher(
            recipe.distillation, request.architecture, tokenizer=texts.tokenizer, device=parallel.device
        )
    end = texts.tokenizer.end_of_document if recipe.reset_at_documents else None
    loss = parallel.prepare(TrainingLoss(model, z_loss=recipe.z_loss, teacher=teacher, end_of_document=end))
    updates = make_updates(model, recipe.optimizer_settings(), width=request.architecture.hidden_size)
    constrain = parallel.weight_normalization(model) if recipe.weight_normalization else None
    if constrain is not None:
        constrain()
    average = None if recipe.ema_decay is None else WeightAverage(model, decay=recipe.ema_decay)
    with ExitStack() as stack:
        if recipe.compile:
            stack.enter_context(compiled_layers(model, num_stages=len(plan.stages)))
        checkpoints = Checkpoints(
            directory.checkpoints,
            architecture=request.architecture,
            tokenizer=texts.tokenizer,
            keep=recipe.checkpoints.keep,
            parallel=parallel,
        )
        stack.callback(checkpoints.close)
        step = _find_checkpoint(directory, request.architecture, parallel=parallel, observer=observer)
        parts = Parts(
            model=model,
            loss=loss,
            updates=updates,
            constrain=constrain,
            average=average,
            recipe=recipe,
            plan=plan,
            texts=texts,
            parallel=parallel,
            checkpoints=checkpoints,
            trackers=_open_trackers(directory, recipe, step=step, observer=observer, stack=stack)
            if parallel.is_first
            else (),
            observer=observer,
            provenance={
                "origin": "training",
                "recipe": recipe.name,
                "seed": recipe.seed,
                "texts": [{"uri": text["uri"], "sha256": text["sha256"]} for text in texts.to_dict()],
                "weights": "last" if average is None else f"average, decay {recipe.ema_decay}",
                "architecture_from": dict(request.provenance),
            },
        )
        loop = TrainingLoop(parts)
        if step:
            loop.restore(_restore(checkpoint_folder(directory.checkpoints, step), parts))
        observer.begins(steps=plan.steps, tokens=plan.tokens, done_steps=step)
        status = loop.run(is_interrupted=is_interrupted)
    return TrainingEnd(
        status=status,
        step=loop.step,
        tokens=loop.tokens,
        seconds=loop.seconds,
        checkpoint=checkpoint_folder(directory.checkpoints, loop.step),
        validation=loop.validation,
    )


def _open_trackers(
    directory: TrainingDirectory, recipe: Recipe, *, step: int, observer: TrainingObserver, stack: ExitStack
) -> tuple[Tracker, ...]:
    """Return the log and whoever else listens, closed with the stack."""
    cut_back(directory.log, step=step)
    log = LogFile(directory.log)
    stack.callback(log.close)
    others = open_trackers(
        recipe.tracking,
        directory.path,
        name=directory.path.name,
        config=recipe.model_dump(mode="json"),
        done_steps=step,
        notice=observer.notice,
    )
    stack.callback(others.close)
    return log, others


def _find_checkpoint(
    directory: TrainingDirectory, architecture: Architecture, *, parallel: Parallel, observer: TrainingObserver
) -> int:
    """Return the step of the newest whole checkpoint, the same in every process; 0 where there is none.

    Raises:
        CheckpointError: there are some and none is whole, or one is of another architecture.
    """
    found = torch.zeros((), dtype=torch.int64, device=parallel.device)
    if parallel.is_first:
        found += _newest_whole(directory, architecture, observer=observer)
    return int(parallel.sum_(found))


def _newest_whole(directory: TrainingDirectory, architecture: Architecture, *, observer: TrainingObserver) -> int:
    for name in remove_partial(directory.checkpoints):
        observer.notice(f"{name} was left half written by an interruption and is removed.")
    steps = checkpoint_steps(directory.checkpoints)
    for step in reversed(steps):
        folder = checkpoint_folder(directory.checkpoints, step)
        wrong = damage(folder)
        if wrong is None:
            check_same_architecture(read_model_folder(folder).architecture, architecture, where=folder)
            return step
        aside = set_aside(directory.checkpoints, step)
        observer.notice(f"The checkpoint of step {step} is damaged ({wrong}); it is set aside as {aside.name}.")
    # Also where the last one was set aside before: a cluster may run the same command again.
    if steps or has_damaged(directory.checkpoints):
        raise CheckpointError(
            f"None of the checkpoints in {directory.checkpoints} is whole. Restore one, or begin anew with another "
            "--output."
        )
    return 0


def _restore(folder: Path, parts: Parts) -> dict[str, Any]:
    """Read a checkpoint's tensors into the parts, and return its state."""
    state = read_state(folder)
    check_same_texts(state["texts"], parts.texts.hashes)
    training = folder / TRAINING
    weights = parts.model.state_dict()
    optimizer_names = [name for name in tensor_names(training) if not name.startswith(WEIGHTS_PREFIX)]
    moments = prepare_optimizer(
        parts.model, parts.updates, names=dict.fromkeys(optimizer_names), counters=state["counters"]
    )
    if parts.average is None:
        load_tensors(folder, weights, parallel=parts.parallel)
    else:
        load_tensors(folder, parts.average.average, parallel=parts.parallel)
        moments = moments | {f"{WEIGHTS_PREFIX}{name}": weight for name, weight in weights.items()}
    load_tensors(training, moments, parallel=parts.parallel)
    return state


def _load_teacher(
    config: DistillationConfig, student: Architecture, *, tokenizer: Tokenizer, device: torch.device
) -> Teacher:
    """Read the teacher.

    Raises:
        CheckpointError: there is no model, or its vocabulary or its tokenizer is another.
    """
    model, described = load_model(Path(config.teacher), device=device)
    if described.architecture.vocab_size != student.vocab_size:
        raise CheckpointError(
            f"Teacher and model need one vocabulary; {config.teacher} has {described.architecture.vocab_size} tokens, "
            f"the model {student.vocab_size}. Train with --vocab-size {described.architecture.vocab_size} and the "
            "teacher's tokenizer."
        )
    if described.tokenizer is not None and not is_same_tokenizer(described.tokenizer, tokenizer):
        raise CheckpointError(
            f"Teacher and model need one tokenizer; {config.teacher} has {described.tokenizer.name!r}, the text "
            f"{tokenizer.name!r}. Train with the teacher's."
        )
    model.eval().requires_grad_(False)
    return Teacher(model=model, weight=config.weight, temperature=config.temperature, top_k=config.top_k)
