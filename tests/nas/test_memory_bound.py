from types import SimpleNamespace

import numpy as np
import pytest

from latency.memory import GIB, inference_memory
from nas import pricing as pricing_module
from nas.errors import ConfigError, InfeasibleError
from nas.evolution.initialization import check_feasible, random_proposal
from nas.evolution.repair import kept_or_fitted
from nas.evolution.strategy import Problem
from nas.memory_bound import MemoryBound
from nas.pricing import Pricing
from search_spaces.presets import load_preset


@pytest.mark.parametrize(
    ("line", "bound"),
    [
        ("128k tokens within 22 GiB in bf16", (131_072, 1, 22.0, "bfloat16")),
        ("4096 tokens of batch 8 within 0.5 GiB in fp32", (4096, 8, 0.5, "float32")),
        (" 1 tokens within 1 GiB in float16 ", (1, 1, 1.0, "float16")),
    ],
)
def test_a_line_says_what_must_fit_into_how_much(line, bound):
    parsed = MemoryBound.parse(line)
    assert (parsed.max_tokens, parsed.batch_size, parsed.gib, parsed.dtype) == bound


@pytest.mark.parametrize(
    "line",
    [
        "22 GiB",
        "128k tokens within 22 GB in bf16",
        "128k tokens within 22 GiB in int8",
        "128k tokens within 0 GiB in bf16",
        "0 tokens within 1 GiB in bf16",
        "128k tokens of batch 0 within 22 GiB in bf16",
        "128k tokens within 22 GiB in bf16, please",
        "128m tokens within 22 GiB in bf16",
    ],
)
def test_any_other_line_is_refused_with_how_it_must_read(line):
    with pytest.raises(ConfigError, match="must read 'N tokens within X GiB in bf16'") as error:
        MemoryBound.parse(line)
    assert repr(line) in str(error.value)


@pytest.fixture
def problem(monkeypatch):
    monkeypatch.setattr(pricing_module, "predict", lambda *_: SimpleNamespace(milliseconds=1.0))
    space = load_preset("quick-cpu")
    table = SimpleNamespace(fingerprint=SimpleNamespace(kind="cpu"))

    def make(line):
        bound = MemoryBound.parse(line)
        pricing = Pricing(space, workload=None, table=table, memory=bound)
        return Problem(space=space, expensive=("perplexity",), cheap=pricing, constraints={"memory_gib": bound.gib})

    return make


def test_candidates_are_priced_with_what_they_take(problem):
    priced = problem("2k tokens of batch 4 within 1 GiB in bf16")
    genome = priced.space.sample(rng=np.random.default_rng(0))
    expected = inference_memory(
        priced.space.decode(genome), max_tokens=2048, dtype="bfloat16", batch_size=4, device="cpu"
    )
    assert priced.cheap(genome)["memory_gib"] == expected.total / GIB


def test_nothing_above_the_bound_is_proposed(problem):
    rng = np.random.default_rng(0)
    free = problem("2k tokens within 1 GiB in bf16")
    median = float(np.median([free.cheap(free.space.sample(rng=rng))["memory_gib"] for _ in range(40)]))
    bounded = problem(f"2k tokens within {median:.5f} GiB in bf16")
    proposals = [random_proposal(bounded, set(), repair=kept_or_fitted, rng=rng) for _ in range(20)]
    assert all(bounded.cheap(proposal.genome)["memory_gib"] <= median + 1e-5 for proposal in proposals)


def test_a_bound_that_nothing_meets_is_told_before_anything_is_trained(problem):
    with pytest.raises(InfeasibleError, match=r"memory_gib <= 0\.0001, while the smallest found"):
        check_feasible(
            problem("2k tokens within 0.0001 GiB in bf16"), repair=kept_or_fitted, rng=np.random.default_rng(0)
        )
