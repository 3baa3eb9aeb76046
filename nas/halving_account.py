"""What successive halving saved a search, and what it may have lost: tokens, and what the control group brought."""

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from nas.candidates import History
from nas.halving import rung_losses

G = TypeVar("G", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class HalvingAccount:
    """What halving saved, and what it may have lost."""

    num_stopped: int
    tokens_spent: int
    """By candidates that finished or were stopped, repeats left out."""

    tokens_planned: int
    """What training each of them to its end would have taken."""

    num_control: int
    """Candidates that would have been stopped but were trained to their end, drawn at random."""

    num_control_on_frontier: int
    control_hypervolume: float | None
    """Share of the hypervolume that would be missing without them; none where there are none or it is not defined."""

    num_candidates: int
    """That the two sums are of."""

    @property
    def spent_share(self) -> float:
        """Tokens spent as a share of those of full trainings."""
        return self.tokens_spent / self.tokens_planned if self.tokens_planned else 1.0

    def __str__(self) -> str:
        words = (
            f"{self.num_stopped} of {self.num_candidates} trainings stopped early; "
            f"{self.spent_share:.0%} of the tokens of full ones"
        )
        if not self.num_control:
            return f"{words}; no control group yet"
        share = self.control_hypervolume
        brought = "" if share is None else f" and brought {share:.1%} of the hypervolume"
        return (
            f"{words}; of {self.num_control} that would have been stopped and were not, "
            f"{self.num_control_on_frontier} are on the frontier{brought}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            "stopped": self.num_stopped,
            "tokens_spent": self.tokens_spent,
            "tokens_of_full_trainings": self.tokens_planned,
            "control": self.num_control,
            "control_on_frontier": self.num_control_on_frontier,
            "control_hypervolume": self.control_hypervolume,
        }


def account(history: History[G]) -> HalvingAccount | None:
    """Return what halving saved and lost in a search, or none where nothing was looked at early."""
    looked_at = [
        record
        for record in history
        if record.candidate.rungs is not None and not record.is_repeat and record.status != "failed"
    ]
    if not looked_at:
        return None
    control = {
        record.number
        for record in looked_at
        if record.candidate.rungs is not None
        and record.status != "stopped"
        and record.candidate.rungs.first_unmet(rung_losses(record)) is not None
    }
    frontier = {record.number for record in history.frontier()}
    return HalvingAccount(
        num_stopped=sum(record.status == "stopped" for record in looked_at),
        tokens_spent=sum(record.details["tokens_seen"] for record in looked_at),
        tokens_planned=sum(record.details["tokens_planned"] for record in looked_at),
        num_control=len(control),
        num_control_on_frontier=len(control & frontier),
        control_hypervolume=_brought_by(control, history),
        num_candidates=len(looked_at),
    )


def _brought_by(numbers: Collection[int], history: History[G]) -> float | None:
    """Return the share of the hypervolume that would be missing without these candidates."""
    if not numbers:
        return None
    finished = history.finished()
    points, others = (
        history.points([record for record in finished if record.number not in left_out]) for left_out in ((), numbers)
    )
    if not others or min(map(min, points)) <= 0:
        return None
    from nas.comparison import UnitBox  # with pandas, which `nas status` seldom needs

    box = UnitBox(points)
    return 1 - box.hypervolume(others) / box.hypervolume(points)
