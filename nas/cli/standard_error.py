"""Progress on standard error: a live bar on a terminal, else lines. What either says is its observer's affair."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn

T = TypeVar("T")


@contextmanager
def bar_or_lines(
    *, bar: Callable[[Progress], T], lines: Callable[[Console], T], time_column: ProgressColumn
) -> Iterator[T]:
    """Give the observer that suits standard error; a bar's tasks have a field `words`."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        time_column,
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=console, transient=False) as progress:
        yield bar(progress)
