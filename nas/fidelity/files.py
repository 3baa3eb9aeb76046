"""Where a run directory keeps its longer trainings and what they say."""

from typing import Final

FOLDER: Final = "fidelity"
"""Of the trainings: their plan and their study."""

JOURNAL: Final = "study.journal"
"""The study, in that folder."""

REPORT: Final = "fidelity.json"
"""What the trainings say, in the run directory itself."""
