"""The study of longer trainings: where it lies in a run directory, and how it is opened to be written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from nas.fidelity.files import JOURNAL
from nas.fidelity.training import Training, TrainingSpace
from nas.storage.open import journal_storage
from nas.study import Study
from search_spaces import SearchSpace

OBJECTIVES: Final = ("perplexity",)


def open_study(folder: Path, *, space: SearchSpace[Any], notice: Callable[[str], None]) -> Study[Training]:
    """Return the study in a run's folder `fidelity`, begun where there is none.

    Only whoever holds its journal (`repaired_journal`) may.

    Args:
        folder: `fidelity` in the run directory.
        space: of the run's candidates.
        notice: is told when a disk is waited for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    study: Study[Training] = Study(
        space=TrainingSpace(space=space),
        objectives=OBJECTIVES,
        storage=journal_storage(folder / JOURNAL, notice=notice),
    )
    study.tell_written_results()
    return study
