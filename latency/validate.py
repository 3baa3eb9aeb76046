"""Check a table against the device: predict models, time them whole, keep both.

Which models, the caller decides; what the figures mean is `validation.py`. Models take turns, so that a machine whose
speed drifts slows all of them alike; each is built anew for its turn, since not all fit into memory at once.
"""

import datetime
import gc
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from latency.device import DeviceMismatchError, describe_differences
from latency.device_probe import current_fingerprint
from latency.measure import threads
from latency.memory import require_room
from latency.predict import predict
from latency.table import LatencyTable
from latency.validation import ValidatedModel, Validation
from latency.whole_model import WholeModel
from latency.workload import Workload
from operators.cost import num_parameters
from search_spaces.architecture import Architecture
from search_spaces.errors import SpecError
from search_spaces.specs import FlaSpec

ROUNDS: Final = 3
RUNS_A_ROUND: Final = 3
LONG_RUN_S: Final = 1.0

Report = Callable[[int, int, str], None]
"""Called with turns done, turns there will be, and words about the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedArchitecture:
    """An architecture and what to call it."""

    name: str
    architecture: Architecture


def validate(
    models: Sequence[NamedArchitecture],
    *,
    workload: Workload,
    table: LatencyTable,
    device: str,
    num_threads: int,
    rounds: int = ROUNDS,
    report: Report | None = None,
) -> Validation:
    """Predict and time every model; a model's time is the median of its runs.

    Raises:
        DeviceMismatchError: the table is of another device, or of other versions, than what runs here.
        SpecError: one of the models does not fit into the device's memory.
        UnmeasuredError: the table lacks a row of one of the models.
        UnavailableError: there is no such device.
    """
    fingerprint = current_fingerprint(device, num_threads=num_threads)
    differing = table.fingerprint.device_differences(fingerprint) | table.fingerprint.version_differences(fingerprint)
    if differing:
        raise DeviceMismatchError(
            "A table is checked on the device and with the versions it was measured with; they differ in "
            f"{describe_differences(differing)}. Check it there, or measure a table here."
        )
    for model in models:
        _require_room(model, workload, table=table)
    predicted_ms = [predict(model.architecture, workload, table).milliseconds for model in models]
    runs_ms: dict[int, list[float]] = defaultdict(list)
    with threads(num_threads):
        for turn in range(rounds):
            for index, model in enumerate(models):
                runs_ms[index] += time_whole_ms(model.architecture, workload=workload, device=device)
                if report is not None:
                    report(turn * len(models) + index + 1, rounds * len(models), model.name)
    return Validation(
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        workload=workload,
        models=tuple(
            ValidatedModel(
                name=model.name,
                hidden_size=model.architecture.hidden_size,
                num_parameters=num_parameters(model.architecture),
                predicted_ms=predicted,
                measured_ms=float(np.median(runs_ms[index])),
            )
            for index, (model, predicted) in enumerate(zip(models, predicted_ms, strict=True))
        ),
    )


def _require_room(model: NamedArchitecture, workload: Workload, *, table: LatencyTable) -> None:
    device = table.fingerprint
    if any(isinstance(spec, FlaSpec) for spec in model.architecture.operators):
        return  # it is not known what layers of fla hold
    try:
        require_room(model.architecture, workload, memory_bytes=device.memory_bytes, device=device.kind)
    except SpecError as error:
        raise SpecError(f"{model.name}: {error}") from None


def time_whole_ms(architecture: Architecture, *, workload: Workload, device: str) -> list[float]:
    """Return the milliseconds of a few runs of a workload on one architecture, built for it and dropped after it.

    One run where it takes long: what disturbs it is short against it.
    """
    whole = WholeModel(architecture, workload=workload, device=device)
    first_ms = whole.run().milliseconds
    runs = 1 if first_ms > 1000 * LONG_RUN_S else RUNS_A_ROUND
    found = [whole.run().milliseconds for _ in range(runs)]
    del whole
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
    return found
