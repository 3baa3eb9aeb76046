"""Several probes as one score of an architecture: how much of what can be answered from the context it does not answer.

Which tasks, how hard and how long trained is `difficulties.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from proxies.errors import SettingsError
from proxies.probes.result import ProbeResult, SuiteResult
from proxies.probes.task import ProbeTask
from proxies.settings import TrainingSettings
from search_spaces.architecture import Architecture

SuiteReport = Callable[[str, int, int, float], None]
"""Called with the task's name, then what a training reports; what it raises ends the suite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A task with how it is trained and what is asked besides."""

    name: str
    task: ProbeTask
    settings: TrainingSettings
    longer: tuple[ProbeTask, ...] = ()
    """Of the same vocabulary, asked after training on `task`; their scores count as much."""

    def evaluate(
        self, architecture: Architecture, *, seed: int, report: Callable[[int, int, float], None] | None = None
    ) -> ProbeResult:
        """Train and ask one architecture; see `run_probe`."""
        # Here, because configurations name suites and load no torch.
        from proxies.probes.probe import run_probe

        return run_probe(architecture, self.task, settings=self.settings, seed=seed, longer=self.longer, report=report)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSuite:
    """Probes that every architecture goes through; picklable."""

    probes: tuple[Probe, ...]

    def __post_init__(self) -> None:
        names = [probe.name for probe in self.probes]
        if not names or len(set(names)) < len(names):
            raise SettingsError(f"A suite needs probes of different names; got {', '.join(names) or 'none'}.")

    def evaluate(self, architecture: Architecture, *, seed: int, report: SuiteReport | None = None) -> SuiteResult:
        """Probe one architecture on every task; ends with the first that gives no score."""
        results: dict[str, ProbeResult] = {}
        for probe in self.probes:
            results[probe.name] = probe.evaluate(
                architecture, seed=seed, report=None if report is None else _named(report, probe.name)
            )
            if results[probe.name].status != "finished":
                break
        return SuiteResult(probes=results)

    def on(self, training: TrainingSettings) -> "ProbeSuite":
        """Return the suite with the device, number format and threads of other settings."""
        return replace(
            self,
            probes=tuple(
                replace(
                    probe,
                    settings=replace(
                        probe.settings,
                        device=training.device,
                        dtype=training.dtype,
                        num_threads=training.num_threads,
                        compile=training.compile,
                        activation_checkpointing=training.activation_checkpointing,
                    ),
                )
                for probe in self.probes
            ),
        )


def _named(report: SuiteReport, name: str) -> Callable[[int, int, float], None]:
    return lambda done, total, loss: report(name, done, total, loss)
