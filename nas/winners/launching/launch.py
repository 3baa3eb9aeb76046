"""Start the processes of one training, wherever they run, and return what the first of them returned.

    in this process     one process, or one of those that torchrun started
    on this machine     new processes that live and die together (`local.py`)
    on a Ray cluster    workers of Ray Train, begun anew when one is lost (`ray_train.py`)

What they do is the `TrainingPart`'s; how they exchange numbers is `parallel/`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from nas.errors import UsageError
from nas.interrupt import Interrupts
from nas.winners.launching.link import Link, TrainingPart
from nas.winners.parallel.config import ParallelConfig
from nas.winners.parallel.joining import is_launched
from proxies.settings import TrainingDtype

T = TypeVar("T")

Executor = Literal["processes", "ray"]


def launch(
    part: TrainingPart[T],
    *,
    config: ParallelConfig,
    device: str,
    dtype: TrainingDtype,
    folder: Path,
    on_message: Callable[[Any], None],
    say: Callable[[str], None],
    executor: Executor = "processes",
    address: str = "local",
    num_cpus: int = 1,
) -> T:
    """Train, by as many processes as the configuration says; none of them is left when this returns or raises.

    The first interrupt is passed on to all processes, and KeyboardInterrupt raised when they have returned; the second
    ends everything at once. Main thread only.

    Args:
        part: what each process does.
        config: how many, and what each holds.
        device: `auto`, `cpu` or `cuda`; one GPU a process.
        dtype: arithmetic of the training, which decides what travels between processes.
        folder: the training's own, on storage that all machines share.
        on_message: is told what processes send, in this process; under torchrun in each of them.
        say: is told of waiting and restarts, in words.
        executor: `processes` of this machine, or `ray`.
        address: of the Ray cluster: `local`, `auto` or `HOST:PORT`.
        num_cpus: of each process, which a Ray cluster reserves.

    Raises:
        KeyboardInterrupt: it was interrupted.
        LostProcessError: a process ended without a result, and no restart is left.
        ResourceError: the Ray cluster does not answer, or has no room.
        UnavailableError: a process finds no device.
        UsageError: torchrun and Ray at once.
    """
    interrupts = Interrupts()
    with interrupts.handled(), interrupts.deferred():
        if is_launched():
            if executor == "ray":
                raise UsageError("Either torchrun starts the processes or Ray does; got both. Leave one of them out.")
            return _among_launched(part, interrupts, config=config, device=device, dtype=dtype, on_message=on_message)
        if executor == "ray":
            from nas.winners.launching.ray_train import launch_on_ray

            return launch_on_ray(
                part,
                config=config,
                device=device,
                dtype=dtype,
                folder=folder,
                on_message=on_message,
                say=say,
                address=address,
                num_cpus=num_cpus,
                interrupts=interrupts,
            )
        if config.processes > 1:
            from nas.winners.launching.local import launch_here

            return launch_here(
                part, config=config, device=device, dtype=dtype, on_message=on_message, interrupts=interrupts
            )
        return _alone(part, interrupts, device=device, dtype=dtype, on_message=on_message)


def _alone(
    part: TrainingPart[T],
    interrupts: Interrupts,
    *,
    device: str,
    dtype: TrainingDtype,
    on_message: Callable[[Any], None],
) -> T:
    from nas.winners.parallel.alone import Alone
    from proxies.placement import check_dtype, resolve_device

    own = resolve_device(device)
    check_dtype(dtype, device=own)
    return part(Alone(own), link=Link(send=on_message, should_stop=lambda: interrupts.were_received))


def _among_launched(
    part: TrainingPart[T],
    interrupts: Interrupts,
    *,
    config: ParallelConfig,
    device: str,
    dtype: TrainingDtype,
    on_message: Callable[[Any], None],
) -> T:
    from nas.winners.parallel.joining import joined_by_environment

    with joined_by_environment(config=config, device=device, dtype=dtype) as parallel:
        return part(parallel, link=Link(send=on_message, should_stop=lambda: interrupts.were_received))
