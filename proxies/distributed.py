"""Train one candidate by several processes, one a device; the scores are those of one process, up to rounding.

Every process holds the whole model. How numbers are exchanged is `ranks.py`, how processes live `processes.py`.
"""

import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from proxies.processes import run_together
from proxies.ranks import Ranks, join
from proxies.result import ProxyResult
from proxies.training import Report


class Evaluate(Protocol):
    """One process's part of an evaluation; picklable."""

    def __call__(self, *, device: torch.device, ranks: Ranks, report: Report | None) -> ProxyResult:
        """Train on this process's share of each batch."""


def evaluate_together(
    evaluate: Evaluate, *, devices: Sequence[torch.device], report: Report | None = None
) -> ProxyResult:
    """Evaluate by one new process for each device; all of them have ended when this returns or raises.

    The peak memory is that of the process with the largest. Lack of memory in one of them ends all.

    Raises:
        LostProcessError: a process was killed or crashed.
        Exception: what the evaluation raised in one of them.
    """

    def tell(_: int, progress: tuple[int, int, float]) -> None:
        if report is not None:
            report(*progress)

    with tempfile.TemporaryDirectory(prefix="training-") as folder:
        part = _Part(evaluate=evaluate, devices=tuple(devices), rendezvous=Path(folder) / "rendezvous")
        results = run_together(
            part, count=len(devices), on_message=tell, decides=_decides, environment=loopback(devices[0])
        )
    peaks = [result.peak_memory_bytes for result in results if result.peak_memory_bytes is not None]
    return replace(results[0], peak_memory_bytes=max(peaks, default=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    evaluate: Evaluate
    devices: tuple[torch.device, ...]
    rendezvous: Path

    def __call__(self, rank: int, send: Any) -> ProxyResult:
        device = self.devices[rank]
        ranks = join(rank=rank, count=len(self.devices), device=device, rendezvous=self.rendezvous)
        # All see the same losses, so one tells them.
        report: Report | None = (lambda *progress: send(progress)) if rank == 0 else None
        return self.evaluate(device=device, ranks=ranks, report=report)


def _decides(result: ProxyResult) -> bool:
    return result.status in ("out_of_memory", "unbuildable")


def loopback(device: torch.device) -> dict[str, str]:
    """Return variables that keep gloo from looking up this machine's name, which need not lead back to it."""
    names = {name for _, name in socket.if_nameindex()} & {"lo", "lo0"}
    return {"GLOO_SOCKET_IFNAME": min(names)} if names and device.type == "cpu" else {}
