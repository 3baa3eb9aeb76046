"""A search killed with -9 at twenty random moments, and resumed each time.

The searches run in children of a script (this file), which only waits and kills: forking needs no import anew.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

NUM_KILLS = 20
NUM_EVALUATIONS = 120


def search(folder: Path) -> None:
    """Search, or go on; each evaluation says when it began and when it ended."""
    from nas import optimize
    from tests.nas.conftest import LetterSpace, cost

    def evaluate(genome: tuple[int, ...]) -> dict[str, float]:
        say(folder / "begun", genome)
        time.sleep(0.01)
        say(folder / "ended", genome)
        return {"error": 1.0 + sum((value - 2) ** 2 * (place + 1) for place, value in enumerate(genome))}

    optimize(
        LetterSpace(),
        evaluate,
        cheap=cost,
        strategy=sys.argv[2],
        num_evaluations=NUM_EVALUATIONS,
        seed=5,
        study=folder / "study.journal",
    )


def say(path: Path, genome: tuple[int, ...]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(genome) + "\n")


def num_begun(folder: Path) -> int:
    path = folder / "begun"
    return path.read_text().count("\n") if path.exists() else 0


def child(folder: Path) -> int:
    """Search in a child process and return its number."""
    from nas.storage.journal import repair_journal

    number = os.fork()
    if number == 0:
        repair_journal(folder / "study.journal")
        search(folder)
        os._exit(0)
    return number


def main() -> None:
    import nas.evolution.optuna_trials
    import nas.optimization  # noqa: F401  loaded once, before the children are forked
    from nas.storage.open import journal_storage
    from nas.study import Study
    from tests.nas.conftest import LetterSpace

    rng = random.Random(11)
    folder = Path(sys.argv[1])
    killed, whole = folder / "killed", folder / "whole"
    killed.mkdir()
    whole.mkdir()
    for _ in range(NUM_KILLS):
        before = num_begun(killed)
        number = child(killed)
        until = time.monotonic() + 20.0
        more = rng.randrange(9)  # 0 strikes while the search is being opened
        while num_begun(killed) < before + more and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(rng.uniform(0.0, 0.02))
        os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)
        with (killed / "kills").open("a") as file:
            file.write(f"{num_begun(killed)}\n")
    for path in (killed, whole):
        assert os.waitstatus_to_exitcode(os.waitpid(child(path), 0)[1]) == 0
        study = Study(
            space=LetterSpace(), objectives=("error", "cost"), storage=journal_storage(path / "study.journal")
        )
        archive = [[one.number, one.genome, one.objectives, one.parent, one.status] for one in study.history()]
        (path / "archive.json").write_text(json.dumps(archive))


@pytest.mark.parametrize("strategy", ["frontier", "surrogate", "nsga2"])
def test_killed_at_twenty_random_moments_it_ends_with_the_archive_of_an_uninterrupted_one(tmp_path, strategy):
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-m", "tests.integration.test_random_kills", str(tmp_path), strategy], cwd=root, check=True
    )
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    archive = json.loads((killed / "archive.json").read_text())
    assert archive == json.loads((whole / "archive.json").read_text())
    assert len(archive) == NUM_EVALUATIONS
    begun = (killed / "begun").read_text().splitlines()
    ended = (killed / "ended").read_text().splitlines()
    # A kill may strike one evaluation in flight, or one that ended and was not yet written; nothing else begins again.
    assert NUM_EVALUATIONS <= len(begun) <= NUM_EVALUATIONS + NUM_KILLS
    assert len(set(ended)) == NUM_EVALUATIONS
    kills = [int(line) for line in (killed / "kills").read_text().splitlines()]
    assert len(set(kills)) > NUM_KILLS // 2  # the kills struck at different places of the search
    last_begun = {genome: place for place, genome in enumerate(begun)}
    for genome, last in last_begun.items():
        first = begun.index(genome)
        # Between its first beginning and its last nothing but itself began: it was in flight all the time.
        assert set(begun[first : last + 1]) == {genome}


if __name__ == "__main__":
    main()
