"""`nas resume`: continue a search exactly where it stopped, also after kill -9."""

from nas.cli.options import Address, ExecutorName, Overrides, RunDir, with_resources


def resume(
    directory: RunDir, overrides: Overrides = None, executor: ExecutorName = None, address: Address = None
) -> None:
    """Continue a search; only `budget`, `resources`, `failures` and `study.storage` may change."""
    from nas.cli.searching import continue_search

    continue_search(directory, overrides=with_resources(overrides, executor=executor, address=address))
