"""A process joins the others: by a file that only they know of, or by the variables that torchrun sets.

Who starts the processes is `nas/winners/launching/launch.py`.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
import torch.distributed as dist

from nas.winners.parallel.alone import Alone
from nas.winners.parallel.protocol import Parallel
from proxies.distributed import loopback
from proxies.errors import PeerLostError
from proxies.memory import is_out_of_memory
from proxies.placement import check_dtype, is_bfloat16
from proxies.ranks import Ranks, join
from proxies.settings import TrainingDtype
from search_spaces import UnavailableError

if TYPE_CHECKING:
    from nas.winners.parallel.config import ParallelConfig

_LOSS_WORDS: Final = ("gloo", "nccl", "connection closed by peer", "connection reset by peer", "broken pipe")


def is_launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun, or another launcher that sets what it sets, started this process with others."""
    return "RANK" in environment and int(environment.get("WORLD_SIZE", "1")) > 1


def device_of(name: str, *, index: int) -> torch.device:
    """Return the device of one process of a machine: the GPU of its number, or the CPU.

    Raises:
        UnavailableError: the machine has fewer GPUs than processes.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if index >= torch.cuda.device_count():
        raise UnavailableError(
            f"Each process needs a GPU of its own; process {index} of this machine finds {torch.cuda.device_count()}. "
            "Start fewer processes, or train with --device cpu."
        )
    return torch.device("cuda", index)


@contextmanager
def joined_by_file(
    rendezvous: Path, *, rank: int, config: "ParallelConfig", device: str, dtype: TrainingDtype
) -> Iterator[Parallel]:
    """Be one of the processes of one machine meanwhile; they find each other by a file that none has written before.

    Raises:
        PeerLostError: another process is gone.
        UnavailableError: no such device.
    """
    own = device_of(device, index=rank)
    with peers_watched():
        ranks = join(rank=rank, count=config.processes, device=own, rendezvous=rendezvous)
        yield parallel_of(ranks, config=config, device=own, dtype=dtype)


@contextmanager
def joined_by_environment(*, config: "ParallelConfig", device: str, dtype: TrainingDtype) -> Iterator[Parallel]:
    """Be one of the processes that torchrun started meanwhile; how many they are, it says.

    Raises:
        PeerLostError: another process is gone.
        UnavailableError: no such device.
    """
    own = device_of(device, index=int(os.environ.get("LOCAL_RANK", "0")))
    if os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"] and "GLOO_SOCKET_IFNAME" not in os.environ:
        # All on this machine, whose name need not lead back to it.
        os.environ.update(loopback(torch.device("cpu")))
    if own.type == "cuda":
        torch.cuda.set_device(own)
    with peers_watched():
        dist.init_process_group("nccl" if own.type == "cuda" else "gloo")
        try:
            yield joined_group(config=config, device=own, dtype=dtype)
        finally:
            dist.destroy_process_group()


def joined_group(*, config: "ParallelConfig", device: torch.device, dtype: TrainingDtype) -> Parallel:
    """Return this process among those of the process group that it is in already."""
    ranks = Ranks(rank=dist.get_rank(), count=dist.get_world_size())
    return parallel_of(ranks, config=config, device=device, dtype=dtype)


def parallel_of(ranks: Ranks, *, config: "ParallelConfig", device: torch.device, dtype: TrainingDtype) -> Parallel:
    """Return how processes that have joined train together."""
    check_dtype(dtype, device=device)
    if ranks.count == 1:
        return Alone(device)
    if config.strategy == "ddp":
        from nas.winners.parallel.data_parallel import DataParallel

        return DataParallel(ranks, device=device)
    from nas.winners.parallel.fully_sharded import FullySharded

    return FullySharded(ranks, device=device, shards=config.shards, bfloat16=is_bfloat16(dtype, device=device))


@contextmanager
def peers_watched() -> Iterator[None]:
    """Turn what an exchange raises when a process is gone into one kind of error.

    Raises:
        PeerLostError: another process is gone; why is its own to say.
    """
    try:
        yield
    except RuntimeError as error:
        words = str(error).lower()
        is_exchange = isinstance(error, dist.DistError) or any(word in words for word in _LOSS_WORDS)
        if isinstance(error, PeerLostError) or is_out_of_memory(error) or not is_exchange:
            raise
        raise PeerLostError(f"An exchange between the processes of one training failed: {error}") from error
