"""A journal's file that holds whole lines only, also after a write the disk refused.

Optuna's own backend leaves half a line where a disk is full, and would glue the next one to it.
"""

import errno
import os
from pathlib import Path
from typing import Any, Final

from optuna.storages.journal import JournalFileBackend

_TROUBLE: Final = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
    errno.ENOTCONN,
}


def is_disk_trouble(error: Exception) -> bool:
    """Whether an error goes away when the disk has room or is there again."""
    return isinstance(error, OSError) and error.errno in _TROUBLE


class WholeLines(JournalFileBackend):
    """Takes back what was written of a line that could not be written."""

    def __init__(self, file_path: str) -> None:
        super().__init__(file_path)
        self._path = Path(file_path)
        self._whole_bytes: int | None = None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records, all of them or none.

        Raises:
            OSError: the disk refused; the same call may be made again.
        """
        self._take_back()
        self._whole_bytes = self._path.stat().st_size
        try:
            super().append_logs(logs)
        except OSError:
            self._take_back()
            raise
        self._whole_bytes = None

    def _take_back(self) -> None:
        # Where even this fails, it is done before the next line.
        if self._whole_bytes is not None:
            os.truncate(self._path, self._whole_bytes)
            self._whole_bytes = None
