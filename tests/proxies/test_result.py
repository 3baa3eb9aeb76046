import json

import pytest

from proxies.result import CurvePoint, ProxyResult
from search_spaces import SpecError

RESULT = ProxyResult(
    status="finished",
    perplexity=8.5,
    bits_per_byte=3.1,
    validation_loss=2.14,
    curve=(
        CurvePoint(tokens=512, loss=5.5, validation_loss=None),
        CurvePoint(tokens=1024, loss=3.25, validation_loss=2.14),
    ),
    tokens_seen=1024,
    seconds=0.5,
    peak_memory_bytes=10**9,
)


@pytest.mark.parametrize(
    "result", [RESULT, ProxyResult(status="diverged", message="Diverged in step 3 of 9: because.")]
)
def test_a_result_survives_strict_json(result: ProxyResult) -> None:
    assert ProxyResult.from_dict(json.loads(json.dumps(result.to_dict(), allow_nan=False))) == result


def test_a_result_with_what_it_should_not_hold_is_refused() -> None:
    with pytest.raises(SpecError, match=r"no field 'perplexty'\. Did you mean 'perplexity'"):
        ProxyResult.from_dict({"status": "finished", "perplexty": 1.0})
    with pytest.raises(SpecError, match=r"Unknown proxy status 'finish'\. Did you mean 'finished'"):
        ProxyResult.from_dict({"status": "finish"})
    with pytest.raises(SpecError, match="curve point lacks loss"):
        ProxyResult.from_dict({"status": "finished", "curve": [{"tokens": 1, "validation_loss": None}]})
