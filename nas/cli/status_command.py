"""`nas status`: is it running, how far is it, what failed."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import typer

from nas.cli.options import Json, RunDir

if TYPE_CHECKING:
    from nas.run import Run


def status(directory: RunDir, as_json: Json = False) -> None:
    """Show how far a search is."""
    import json

    from nas.run import Run

    content = _status(Run(directory))
    typer.echo(json.dumps(content, indent=2) if as_json else _words(content))


def _status(run: "Run") -> dict[str, Any]:
    from nas.fidelity.ranked_by import ranked_by
    from nas.halving_account import account
    from nas.trial_choice import choose_trials

    history = run.study.history()
    halving = account(history)
    frontier = history.frontier()
    best = choose_trials(history, "best")[0] if frontier else None
    repeats = sum(record.is_repeat for record in history)
    noise = sum(record.candidate.proposal.measures_noise for record in history)
    latest = max((record.finished_at for record in history if record.finished_at), default=None)
    return {
        "name": run.config.name,
        "state": run.state,
        "evaluations": {"ended": len(history) - repeats, "planned": run.config.budget.evaluations},
        "repeats": {"ended": noise, "planned": run.config.budget.repeats, "of_frontier": repeats - noise},
        "running": [candidate.number for candidate in run.study.running()],
        "finished": len(history.finished()),
        "infeasible": sum(record.status == "infeasible" for record in history),
        "stopped": len(history.stopped()),
        "halving": None if halving is None else {**halving.to_dict(), "words": str(halving)},
        "ranking": ranked_by(run.directory.path),
        "retries": sum(len(record.attempts) for record in history)
        + sum(len(run.study.attempts(candidate.number)) for candidate in run.study.running()),
        "failures": dict(Counter(record.failure.kind for record in history if record.failure is not None)),
        "frontier": [record.number for record in frontier],
        "best": None if best is None else {"trial": best.number, **best.objectives},
        "tokens_seen": sum(record.details.get("tokens_seen", 0) for record in history),
        "last_result_at": None if latest is None else latest.isoformat(timespec="seconds"),
    }


def _words(content: dict[str, Any]) -> str:
    evaluations, repeats = content["evaluations"], content["repeats"]
    lines = [
        f"{content['name']}: {content['state']}",
        f"candidates  {evaluations['ended']} of {evaluations['planned']} ended, {content['finished']} finished, "
        f"{content['infeasible']} infeasible, {sum(content['failures'].values())} failed",
        f"repeats     {repeats['ended']} of {repeats['planned']}"
        + (f", and {repeats['of_frontier']} of the frontier's candidates" if repeats["of_frontier"] else ""),
        f"running     {len(content['running'])}",
        f"tokens      {content['tokens_seen']:,} trained on",
        f"frontier    {len(content['frontier'])} candidates",
    ]
    if content["halving"] is not None:
        lines.append(f"halving     {content['halving']['words']}")
    lines.append(f"ranked by   {content['ranking']['score']}: {content['ranking']['why']}")
    if content["retries"]:
        lines.append(f"retries     {content['retries']}, of evaluations that were lost or overdue")
    lines += [f"failed      {count} × {kind}" for kind, count in content["failures"].items()]
    if content["best"] is not None:
        best = content["best"]
        lines.append(
            f"best        trial {best['trial']}: perplexity {best['perplexity']:.3f} at {best['latency_ms']:.2f} ms"
        )
    if content["last_result_at"] is not None:
        lines.append(f"last result {content['last_result_at']}")
    return "\n".join(lines)
