import pytest
import torch

from operators.backends import AUTO, BACKENDS, BackendChoice
from operators.model import HybridLM
from operators.registry import REGISTRY, backends_within, build_operator
from search_spaces.dimensions import architecture_from_pattern
from search_spaces.errors import UnavailableError
from search_spaces.specs import AttentionSpec, DeltaNetSpec, FFNSpec, FlaSpec, HybridHeadSpec, Mamba1Spec


def choice(requested: str = AUTO, **excluded: str) -> BackendChoice:
    return BackendChoice(
        operator="DeltaNet",
        requested=requested,
        sequence=("fla", "chunked", "reference"),
        step=("triton", "reference"),
        excluded=excluded,
    )


def test_every_backend_an_operator_offers_is_described() -> None:
    for spec_class in REGISTRY.spec_classes():
        assert set(REGISTRY.layer_class(spec_class).offered_backends()) <= set(BACKENDS)


def test_every_operator_of_ours_has_a_backend_that_runs_anywhere() -> None:
    for spec_class in set(REGISTRY.spec_classes()) - {FlaSpec}:
        layer = REGISTRY.layer_class(spec_class)
        for names in (layer.sequence_backends, layer.step_backends):
            last = BACKENDS[names[-1]]
            assert last.devices is None
            assert not last.package


def test_auto_takes_the_first_that_runs_on_the_device() -> None:
    assert choice().at("sequence", torch.empty(1)) == "chunked"
    assert choice().at("step", torch.empty(1)) == "reference"
    assert choice(chunked="too wide").at("sequence", torch.empty(1)) == "reference"


@pytest.mark.skipif("fla" not in BACKENDS or BACKENDS["fla"].missing_package() is None, reason="fla is installed")
def test_an_absent_package_names_the_extra_and_nothing_else_runs_instead() -> None:
    with pytest.raises(
        UnavailableError, match=r"'fla' here: flash-linear-attention is not installed; pip install.*gpu"
    ):
        choice("fla")


def test_dimensions_a_backend_cannot_do_are_refused_where_it_was_asked_for() -> None:
    with pytest.raises(UnavailableError, match=r"'chunked' here: heads are too wide"):
        choice("chunked", chunked="heads are too wide")


def test_a_dtype_a_backend_cannot_do_names_what_would_work() -> None:
    with pytest.raises(UnavailableError, match=r"'triton' here: it computes in .*not in float64.*Here would work: ref"):
        choice("triton").at("step", torch.empty(1, dtype=torch.float64))


def test_a_backend_that_lacks_a_phase_leaves_it_to_auto() -> None:
    assert choice("triton").at("sequence", torch.empty(1)) == "chunked"
    assert choice("triton").at("step", torch.empty(1)) == "triton"


def test_without_an_interpreter_triton_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(UnavailableError, match="it runs on cuda, not on cpu"):
        choice("triton").at("step", torch.empty(1))


def test_an_operator_whose_backends_all_fail_says_why_each_does() -> None:
    gpu_only = BackendChoice(operator="KDA", requested=AUTO, sequence=("fla",), step=("fla",))
    with pytest.raises(UnavailableError, match=r"KDA has no backend for float32 on cpu\. fla: "):
        gpu_only.at("sequence", torch.empty(1))


def test_a_model_gives_the_backend_asked_for_to_the_operators_that_have_it() -> None:
    architecture = architecture_from_pattern("d f", hidden_size=64, vocab_size=16)
    model = HybridLM(architecture, seed=0, backend="chunked")
    delta_net, ffn = (layer.operator for layer in model.residual_operators)
    assert (delta_net.backends.requested, ffn.backends.requested) == ("chunked", AUTO)
    with pytest.raises(UnavailableError, match=r"an operator of the model has; got 'chunkd'\. Did you mean 'chunked'"):
        HybridLM(architecture, seed=0, backend="chunkd")


def test_an_operator_without_the_backend_names_those_it_has() -> None:
    with pytest.raises(UnavailableError, match=r"FFN has; got 'sdpa'.*Known: auto, reference"):
        build_operator(FFNSpec(intermediate_size=8), hidden_size=8, norm_eps=1e-6, backend="sdpa")


@pytest.mark.parametrize("missing", [None, "fla is not installed"])
def test_a_hybrid_head_refuses_a_backend_that_neither_branch_has(
    missing: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(BACKENDS["fla"]), "missing_package", lambda _: missing)
    attention = AttentionSpec(num_heads=2, num_kv_heads=1, head_dim=8)
    spec = HybridHeadSpec(attention=attention, ssm=Mamba1Spec(inner_size=16, dt_rank=1))
    with pytest.raises(UnavailableError, match="'fla'"):
        build_operator(spec, hidden_size=16, norm_eps=1e-6, backend="fla")


def test_one_operator_with_a_backend_leaves_the_hybrid_head_to_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(BACKENDS["fla"]), "missing_package", lambda _: None)
    attention = AttentionSpec(num_heads=2, num_kv_heads=1, head_dim=8)
    hybrid = HybridHeadSpec(attention=attention, ssm=Mamba1Spec(inner_size=16, dt_rank=1))
    deltanet = DeltaNetSpec(num_heads=2, head_dim=8)
    assert backends_within((hybrid, deltanet), requested="fla") == (AUTO, "fla")
    with pytest.raises(UnavailableError, match="got 'fla'"):
        backends_within((hybrid,), requested="fla")


def test_where_nothing_would_work_the_error_says_so() -> None:
    only = BackendChoice(operator="FlaLayer", requested="triton", sequence=("triton",), step=("triton",))
    with pytest.raises(UnavailableError, match="It has no other backend"):
        only.at("step", torch.empty(1, dtype=torch.float64))
