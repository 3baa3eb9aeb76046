"""Published architectures priced as a run's candidates are, as far as its latency table knows their operators."""

from dashboards.frame import Reference
from latency.lookup import UnmeasuredError
from latency.predict import predict
from latency.table import LatencyTable
from latency.workload import Workload
from nas.memory_bound import MemoryBound
from operators.cost import num_parameters
from search_spaces.errors import NasError
from search_spaces.references import load_reference, reference_names


def priced_references(
    table: LatencyTable, workload: Workload, *, memory: MemoryBound | None = None
) -> tuple[Reference, ...]:
    """Return the references whose every operator the table knows, by growing latency.

    Args:
        table: prices them.
        workload: of the study.
        memory: what the study's `memory_gib` means; none where it has none.
    """
    sizes = {(row.key.hidden_size, row.key.vocab_size) for row in table.measured}
    widths, vocabularies = {width for width, _ in sizes}, {vocab_size for _, vocab_size in sizes}
    found = []
    for name in reference_names():
        architecture = load_reference(name)
        # Most are of another size; to be told which rows are missing would take longer than all the rest.
        if architecture.hidden_size not in widths or architecture.vocab_size not in vocabularies:
            continue
        try:
            figures = {
                "latency_ms": predict(architecture, workload, table).milliseconds,
                "num_parameters": float(num_parameters(architecture)),
            }
            if memory is not None:
                figures["memory_gib"] = memory.gib_of(architecture, device=table.fingerprint.kind)
        except (UnmeasuredError, NasError):
            continue
        found.append(Reference(name=name, figures=figures, pattern=architecture.pattern))
    return tuple(sorted(found, key=lambda one: one.figures["latency_ms"]))
