"""What follows when an evaluation fails, by the kind of failure.

What a candidate did wrong by itself is never tried again; what the machine under it did may be. Whatever follows, one
candidate never ends a search: only the same failure again and again does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from nas.candidates import FailureKind
from nas.errors import ConfigError
from search_spaces.errors import near_miss

Consequence = Literal["infeasible", "penalise"]
"""`infeasible`: the candidate is never a parent, and nothing is learnt from it. `penalise`: nor is it a parent, but a
strategy with a model (`surrogate`) learns from it as from the worst candidate seen, and so keeps away from its like."""

RETRYABLE: Final[tuple[FailureKind, ...]] = ("host_out_of_memory", "timeout", "lost_worker")
"""Failures that need not be the candidate's own: another evaluation of it may succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePolicy:
    """What follows one kind of failure."""

    then: Consequence
    retries: int = 0
    """How often the candidate is evaluated again before the failure counts."""

    stop_after: int | None = None
    """So many candidates in a row that failed so end the search; none: no number does."""


FailurePolicies = Mapping[FailureKind, FailurePolicy]

DEFAULT_POLICIES: Final[FailurePolicies] = {
    "gpu_out_of_memory": FailurePolicy(then="infeasible"),
    "host_out_of_memory": FailurePolicy(then="infeasible", retries=1),
    "diverged": FailurePolicy(then="penalise"),
    "timeout": FailurePolicy(then="penalise"),
    "lost_worker": FailurePolicy(then="infeasible", retries=3),
    "unbuildable": FailurePolicy(then="infeasible"),
    "bug": FailurePolicy(then="infeasible", stop_after=5),
}


def failure_policies(changes: Mapping[str, Mapping[str, object]]) -> dict[FailureKind, FailurePolicy]:
    """Return the default policies with some changed, as `{"timeout": {"retries": 1}}`.

    Raises:
        ConfigError: an unknown kind, field or consequence, a negative number, or retries of a candidate's own fault.
    """
    policies = dict(DEFAULT_POLICIES)
    for kind, fields in changes.items():
        if kind not in policies:
            raise ConfigError(f"Unknown kind of failure {kind!r}.{near_miss(kind, policies)}")
        known = kind  # narrowed by the check above
        policies[known] = _changed(known, policies[known], fields)
    return policies


def penalised_kinds(policies: FailurePolicies) -> set[FailureKind]:
    """Return the kinds of failure that models are to learn from."""
    return {kind for kind, policy in policies.items() if policy.then == "penalise"}


def _changed(kind: FailureKind, policy: FailurePolicy, fields: Mapping[str, object]) -> FailurePolicy:
    for name, value in fields.items():
        match name:
            case "then":
                if value not in get_args(Consequence):
                    raise ConfigError(f"{kind}.then must be {' or '.join(get_args(Consequence))}; got {value!r}.")
            case "retries" | "stop_after":
                least = 0 if name == "retries" else 1
                is_none = value is None and name == "stop_after"
                if not is_none and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                    raise ConfigError(f"{kind}.{name} must be a whole number from {least} on; got {value!r}.")
            case _:
                raise ConfigError(
                    f"A policy for {kind} has no field {name!r}.{near_miss(name, ('then', 'retries', 'stop_after'))}"
                )
    changed = replace(policy, **fields)  # type: ignore[arg-type]  # each value was checked above
    if changed.retries and kind not in RETRYABLE:
        raise ConfigError(
            f"{kind} is the candidate's own fault and is not tried again; got {kind}.retries={changed.retries}. "
            f"Retries are for {', '.join(RETRYABLE)}."
        )
    return changed
