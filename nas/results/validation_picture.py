"""What a check of a latency table found, in sentences and as what reports and `nas latency validate` draw."""

from dashboards.frame import PredictedAndMeasured, ValidationPicture
from latency.validation import Validation


def findings(found: Validation) -> list[str]:
    """Return the figures of a check, in sentences."""
    accuracy = found.accuracy
    return [
        f"mean absolute error {accuracy.mape:.1f} %, bias {accuracy.bias:+.1f} %, 95th percentile {accuracy.p95:.1f} %",
        f"Spearman {accuracy.spearman:.3f}; ordered right: {accuracy.clear_pairs_ordered:.0f} % of the pairs more than "
        f"10 % apart, {accuracy.close_pairs_ordered:.0f} % of the closer ones",
    ]


def validation_picture(found: Validation, *, device: str) -> ValidationPicture:
    """Return the picture of a check of a table that was measured on `device`."""
    return ValidationPicture(
        title="Latency: predicted against measured",
        device=device,
        workload=found.workload.describe(),
        findings=findings(found),
        models=[
            PredictedAndMeasured(
                name=model.name,
                hidden_size=model.hidden_size,
                predicted_ms=model.predicted_ms,
                measured_ms=model.measured_ms,
            )
            for model in found.models
        ],
    )
