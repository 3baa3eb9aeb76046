"""The search itself: configuration, strategies, the study, executors, exports and the command line.

As a library it is `optimize`, loaded when it is asked for: importing this package costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.candidates import Failed, History
    from nas.optimization import optimize

__all__ = ["Failed", "History", "optimize"]


def __getattr__(name: str) -> Any:
    if name == "optimize":
        from nas.optimization import optimize

        return optimize
    if name in __all__:
        from nas import candidates

        return getattr(candidates, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
