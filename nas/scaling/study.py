"""A scaling law with everything it rests on: points, fit, held-out settings, doubts. What `scaling.json` holds."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from nas.run_directory import write_atomically
from nas.scaling.holdout import HeldOut, hold_out
from nas.scaling.intervals import FittedLaw, fit_with_intervals
from nas.scaling.law import ScalingError, ScalingPoint
from nas.scaling.points import FailedSetting

SCHEMA_VERSION: Final = 1
FILE_NAME: Final = "scaling.json"
PICTURE_NAME: Final = "scaling.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingStudy:
    """What was fitted to which points, and how far it can be trusted."""

    name: str
    points: tuple[ScalingPoint, ...]
    fitted: FittedLaw
    """The law of all points."""

    held_out: HeldOut | None
    """The law of the smaller ones, put to the test; none where too few would have been left."""

    failures: tuple[FailedSetting, ...]
    caveats: tuple[str, ...]
    """Sentences that belong beside every figure of it."""

    provenance: Mapping[str, str]

    def is_held_out(self, point: ScalingPoint) -> bool:
        """Whether a point was held out of the fit that was put to the test."""
        return self.held_out is not None and any(
            (out.depth, out.width, out.tokens, out.measured)
            == (point.depth, point.width, point.tokens, point.perplexity)
            for out in self.held_out.points
        )

    def predicted(self, point: ScalingPoint) -> float:
        """Return what the law says of a point: for every point the law that the held-out ones were not fitted to."""
        fitted = self.fitted if self.held_out is None else self.held_out.fitted
        return fitted.law.at(point)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping that `from_dict` reads back unchanged."""
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "formula": self.fitted.law.describe(),
            "points": [
                asdict(point)
                | {
                    "predicted": self.predicted(point),
                    "residual": self.predicted(point) / point.perplexity - 1,
                    "held_out": self.is_held_out(point),
                }
                for point in self.points
            ],
            "fitted": self.fitted.to_dict(),
            "held_out": None if self.held_out is None else self.held_out.to_dict(),
            "failures": [asdict(failure) for failure in self.failures],
            "caveats": list(self.caveats),
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "ScalingStudy":
        """Read what `to_dict` wrote.

        Raises:
            ScalingError: it was written by a newer version.
        """
        if mapping.get("schema_version") != SCHEMA_VERSION:
            raise ScalingError(
                f"A scaling study of schema version {SCHEMA_VERSION} is read here; got "
                f"{mapping.get('schema_version')!r}. Fit it again with `nas scaling fit DIR`."
            )
        held_out = mapping["held_out"]
        return cls(
            name=mapping["name"],
            points=tuple(map(_point, mapping["points"])),
            fitted=FittedLaw.from_dict(mapping["fitted"]),
            held_out=None if held_out is None else HeldOut.from_dict(held_out),
            failures=tuple(FailedSetting(**failure) for failure in mapping["failures"]),
            caveats=tuple(mapping["caveats"]),
            provenance=dict(mapping["provenance"]),
        )

    def save(self, folder: Path) -> Path:
        """Write it into a run directory and return the file."""
        path = folder / FILE_NAME
        write_atomically(path, json.dumps(self.to_dict(), indent=1) + "\n")
        return path

    @classmethod
    def load(cls, folder: Path) -> "ScalingStudy":
        """Read what `save` wrote.

        Raises:
            ScalingError: there is none, or it cannot be read.
        """
        path = folder / FILE_NAME
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ScalingError(f"{folder} holds no scaling law. Fit one with `nas scaling fit {folder}`.") from None
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ScalingError(
                f"{path} cannot be read: {error!r}. Fit it again with `nas scaling fit {folder}`."
            ) from error


def study_points(
    points: Sequence[ScalingPoint],
    *,
    name: str,
    share_held_out: float,
    seed: int,
    failures: Sequence[FailedSetting] = (),
    caveats: Sequence[str] = (),
    provenance: Mapping[str, str] | None = None,
) -> ScalingStudy:
    """Fit the law of points and put it to the test.

    Args:
        points: that were measured.
        name: of the run.
        share_held_out: of the points, the largest; 0 holds none out.
        seed: of the resampling.
        failures: settings that gave no point.
        caveats: sentences to keep with it; what the fit itself finds is added.
        provenance: where the points come from, in words.

    Raises:
        ScalingError: the points identify no law. Too few for holding any out is a caveat, not an error.
    """
    fitted = fit_with_intervals(points, seed=seed)
    found = list(caveats)
    held_out = None
    if share_held_out:
        try:
            held_out = hold_out(points, share=share_held_out, seed=seed)
        except ScalingError as error:
            found.append(f"The law was not put to the test on larger settings. {error}")
    else:
        found.append("The law was not put to the test on larger settings: none were held out.")
    if failures:
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(failure.kind for failure in failures).items())
        found.append(f"{len(failures)} settings gave no point: {kinds}.")
    return ScalingStudy(
        name=name,
        points=tuple(points),
        fitted=fitted,
        held_out=held_out,
        failures=tuple(failures),
        caveats=(*found, *fitted.doubts()),
        provenance=dict(provenance or {}),
    )


def _point(mapping: Mapping[str, Any]) -> ScalingPoint:
    names = ScalingPoint.__dataclass_fields__
    content = {name: value for name, value in mapping.items() if name in names}
    return ScalingPoint(
        **content | {"perplexities": tuple(content["perplexities"]), "trials": tuple(content["trials"])}
    )
