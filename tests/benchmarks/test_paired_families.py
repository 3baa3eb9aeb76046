import pytest

from benchmarks.meta_tokens import NUM_META_TOKENS
from benchmarks.paired_families import LEAST_LARGE, plan_for
from benchmarks.weight_normalization import ARMS
from operators.cost import num_parameters
from search_spaces.errors import UnavailableError


def test_a_gpu_trains_models_of_a_hundred_million_parameters_on_the_text_given(tmp_path):
    (tmp_path / "text.txt").write_text("one and one make two. " * 6000)
    plan = plan_for(ARMS, device="cuda", full=True, corpus=f"file:{tmp_path / 'text.txt'}")
    assert set(plan.families) == {"attention", "DeltaNet", "Mamba2", "hybrid"}
    for architecture in plan.families.values():
        assert LEAST_LARGE <= num_parameters(architecture) <= 1.5 * LEAST_LARGE
    assert plan.settings.dtype == "bfloat16"


def test_a_gpu_without_a_text_says_how_to_prepare_one():
    with pytest.raises(UnavailableError, match="nas data prepare"):
        plan_for(ARMS, device="cuda", full=False, corpus=None)


def test_the_same_families_train_on_a_cpu():
    plan = plan_for(ARMS, device="cpu", full=False, corpus=None)
    assert set(plan.families) == {"attention", "DeltaNet", "Mamba2", "hybrid"}
    assert plan.num_seeds >= 5


@pytest.mark.parametrize(("device", "tokens"), [("cpu", 256), ("cuda", 2048)])
def test_meta_tokens_are_as_large_a_share_of_a_sequence_as_in_the_paper(device, tokens):
    assert tokens / NUM_META_TOKENS[device] == 4096 / 256
