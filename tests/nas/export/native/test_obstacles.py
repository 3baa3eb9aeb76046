"""What a format cannot hold is listed whole; what it does not list, it holds."""

import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from nas.errors import ExportError
from nas.export.native.registry import NATIVE_EXPORTERS
from operators.model import HybridLM
from search_spaces import Architecture
from search_spaces.specs import (
    AttentionSpec,
    DeltaNetSpec,
    FFNSpec,
    GatedDeltaNetSpec,
    Mamba1Spec,
    Mamba2Spec,
    OperatorSpec,
    RopeScaling,
)

EXPORTERS = {exporter.name: exporter for exporter in NATIVE_EXPORTERS}
IN_TRANSFORMERS = ("nemotron-h", "granite", "bamba", "qwen3.5", "qwen3", "llama")
ATTENTION = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=8)
ROTARY = replace(ATTENTION, rope_theta=1e4)
MAMBA = Mamba2Spec(num_heads=8, head_dim=8, state_size=4)
FFN = FFNSpec(intermediate_size=48)
SQUARED = FFNSpec(intermediate_size=48, activation="relu2")

Change = Callable[[AttentionSpec], AttentionSpec]


def architecture(*operators: OperatorSpec, num_meta_tokens: int = 0, norm_eps: float = 1e-5) -> Architecture:
    return Architecture(
        hidden_size=32, operators=operators, vocab_size=40, num_meta_tokens=num_meta_tokens, norm_eps=norm_eps
    )


def listed(format_name: str, found: Architecture) -> str:
    return "\n".join(map(str, EXPORTERS[format_name].obstacles(found)))


BARE = {
    "nemotron-h": (MAMBA, SQUARED, ATTENTION),
    "granite": (MAMBA, FFN, ATTENTION, FFN),
    "bamba": (MAMBA, FFN, ROTARY, FFN),
    "qwen3.5": (GatedDeltaNetSpec(num_heads=2, head_dim=8), FFN, replace(ROTARY, qk_norm=True), FFN),
    "qwen3": (replace(ROTARY, qk_norm=True), FFN),
    "llama": (ROTARY, FFN),
    "fla": (DeltaNetSpec(num_heads=4, head_dim=8), FFN, ROTARY, FFN),
    "nemotron-flash": (DeltaNetSpec(num_heads=4, head_dim=8), FFN, MAMBA, FFN, ATTENTION, FFN),
}

ATTENTION_CHANGES: dict[str, tuple[Change, str]] = {
    "no rope": (lambda a: replace(a, rope_theta=None, rotary_fraction=1.0), "set rope_theta"),
    "rope": (lambda a: replace(a, rope_theta=1e4), "set rope_theta to none"),
    "qk_norm": (lambda a: replace(a, qk_norm=not a.qk_norm), "set qk_norm to"),
    "bias": (lambda a: replace(a, bias=True), "leave bias out"),
    "window": (lambda a: replace(a, window=9), "leave window out"),
    "partial rotation": (lambda a: replace(a, rope_theta=1e4, rotary_fraction=0.5), "rotary_fraction|rope_theta"),
    "scaled": (lambda a: replace(a, rope_theta=1e4, rope_scaling=RopeScaling(factor=2.0)), "rope_scaling|rope_theta"),
    "other heads": (lambda a: replace(a, num_heads=2, num_kv_heads=1), "choose num_heads"),
    "wide values": (lambda a: replace(a, value_head_dim=16), "leave value_head_dim out"),
    "output gate": (lambda a: replace(a, output_gate=True), "leave output_gate out"),
}

STRUCK = {
    "nemotron-h": {"rope", "qk_norm", "bias", "window", "partial rotation", "scaled", "wide values", "output gate"},
    "granite": {"qk_norm", "window", "partial rotation", "other heads", "wide values", "output gate"},
    "bamba": {"no rope", "qk_norm", "bias", "window", "scaled", "other heads", "wide values", "output gate"},
    "qwen3.5": {"no rope", "qk_norm", "bias", "window", "scaled", "wide values"},
    "qwen3": {"no rope", "qk_norm", "bias", "window", "partial rotation", "wide values", "output gate"},
    "llama": {"no rope", "qk_norm", "window", "partial rotation", "wide values", "output gate"},
    "fla": {"no rope", "qk_norm", "partial rotation", "scaled", "other heads", "wide values", "output gate"},
    "nemotron-flash": {"bias", "window", "partial rotation", "scaled", "wide values", "output gate"},
}


@pytest.mark.parametrize("format_name", BARE)
@pytest.mark.parametrize("change", ATTENTION_CHANGES)
def test_each_feature_of_attention_is_held_or_struck(format_name: str, change: str) -> None:
    bare = architecture(*BARE[format_name])
    assert listed(format_name, bare) == ""
    changed, remedy = ATTENTION_CHANGES[change]
    operators = [changed(spec) if isinstance(spec, AttentionSpec) else spec for spec in bare.operators]
    found = listed(format_name, architecture(*operators))
    if change in STRUCK[format_name]:
        assert any(words in found for words in remedy.split("|")), found
    elif (format_name, change) == ("nemotron-flash", "other heads"):
        assert "set num_heads of DeltaNet to 2" in found
    else:
        assert found == ""


@pytest.mark.parametrize("format_name", BARE)
def test_meta_tokens_only_nemotron_flash_has(format_name: str) -> None:
    found = listed(format_name, architecture(*BARE[format_name], num_meta_tokens=2))
    assert ("set num_meta_tokens to 0" in found) == (format_name != "nemotron-flash")


@pytest.mark.parametrize("format_name", BARE)
def test_operators_without_counterpart_are_named_with_their_places(format_name: str) -> None:
    other = Mamba1Spec(inner_size=64, dt_rank=2)
    found = listed(format_name, architecture(*BARE[format_name], other, FFN, other, FFN))
    places = f"operators {len(BARE[format_name])}, {len(BARE[format_name]) + 2}: mamba1 has no counterpart in"
    assert places in found
    assert "search with the operators" in found


def test_all_obstacles_are_listed_at_once() -> None:
    found = EXPORTERS["nemotron-h"].obstacles(
        architecture(
            DeltaNetSpec(num_heads=2, head_dim=8),
            FFN,
            replace(ROTARY, window=5, qk_norm=True),
            ATTENTION,
            replace(ATTENTION, num_kv_heads=1, shares_kv_with=None),
            Mamba2Spec(num_heads=4, head_dim=8, state_size=4, num_groups=2, grouped_norm=False, conv_width=7),
            num_meta_tokens=4,
        )
    )
    assert [obstacle.remedy for obstacle in found] == [
        "search with the operators a, m2 and f only",
        "set num_meta_tokens to 0",
        "set rope_theta to none",
        "set qk_norm to false",
        "leave window out",
        "give every attention the same num_kv_heads",
        "set grouped_norm to true, or num_groups to 1",
        "set conv_width between 2 and 4",
        "set activation to relu2",
    ]


@pytest.mark.parametrize("format_name", ["nemotron-h", "granite", "bamba", "qwen3.5", "qwen3", "llama"])
def test_a_model_without_attention_is_refused(format_name: str) -> None:
    without = [spec for spec in BARE[format_name] if not isinstance(spec, AttentionSpec)]
    assert "propose at least one attention" in listed(format_name, architecture(*without))


@pytest.mark.parametrize("format_name", ["granite", "bamba", "qwen3.5", "qwen3", "llama", "fla"])
def test_an_ffn_that_follows_no_mixer_is_refused(format_name: str) -> None:
    found = listed(format_name, architecture(FFN, *BARE[format_name], FFN))
    last = len(BARE[format_name]) + 1
    assert f"operators 0, {last}: a layer of" in found


@pytest.mark.parametrize("format_name", ["granite", "bamba", "nemotron-flash"])
def test_mamba2_of_another_width_or_normed_otherwise_is_refused(format_name: str) -> None:
    operators = [
        Mamba2Spec(num_heads=6, head_dim=8, state_size=4, num_groups=2, grouped_norm=False)
        if isinstance(spec, Mamba2Spec)
        else spec
        for spec in BARE[format_name]
    ]
    found = listed(format_name, architecture(*operators))
    assert "choose num_heads × head_dim of Mamba2 among 32, 64, 96" in found
    assert "num_groups to 1" in found


def test_llama_insists_on_a_width_that_the_heads_divide() -> None:
    found = listed("llama", architecture(replace(ROTARY, num_heads=6, num_kv_heads=3), FFN))
    assert "choose num_heads among 1, 2, 4, 8, 16, 32" in found


def test_nemotron_flash_insists_on_its_own_epsilon_and_on_the_heads_of_attention() -> None:
    operators = BARE["nemotron-flash"]
    found = listed("nemotron-flash", architecture(*operators, norm_eps=1e-6))
    assert "norm_eps 1e-06: Nemotron-Flash adds 1e-05 inside the norms of operators 0, 2" in found
    assert listed("nemotron-flash", architecture(ATTENTION, FFN, norm_eps=1e-6)) == ""
    other = DeltaNetSpec(num_heads=2, head_dim=8, conv_width=3, output_gate=True, allow_negative_eigenvalues=True)
    assert [o.remedy for o in EXPORTERS["nemotron-flash"].obstacles(architecture(other, ATTENTION))] == [
        "set num_heads of DeltaNet to 4",
        "choose num_heads × head_dim = 32",
        "set conv_width of DeltaNet to 4",
        "set output_gate to false",
        "set allow_negative_eigenvalues to false",
    ]


def test_qwen3_5_holds_deltanet_only_with_an_output_gate() -> None:
    attends = replace(ROTARY, qk_norm=True)
    plain, gated = DeltaNetSpec(num_heads=2, head_dim=8), DeltaNetSpec(num_heads=2, head_dim=8, output_gate=True)
    assert "operator 0: Qwen3.5 gates the output of every DeltaNet" in listed("qwen3.5", architecture(plain, attends))
    assert listed("qwen3.5", architecture(gated, attends)) == ""


def test_an_architecture_in_the_way_is_not_written(tmp_path: Path) -> None:
    model = HybridLM(architecture(DeltaNetSpec(num_heads=4, head_dim=8), FFN), seed=0)
    with pytest.raises(ExportError, match=r"deltanet has no counterpart in NemotronH[\s\S]*relu2"):
        EXPORTERS["nemotron-h"].write(model, tmp_path, tokenizer=None)
    assert list(tmp_path.iterdir()) == []


def anything(rng: random.Random) -> Architecture:
    """Return an architecture of operators that are often, and often not, what some format holds."""
    attends = AttentionSpec(
        num_heads=4,
        num_kv_heads=rng.choice([1, 2]),
        head_dim=8 if rng.random() < 0.7 else 6,
        rope_theta=rng.choice([None, 1e4]),
        qk_norm=rng.random() < 0.4,
        bias=rng.random() < 0.2,
    )
    kinds: list[OperatorSpec] = [
        attends,
        replace(attends, bias=rng.random() < 0.2),
        Mamba2Spec(
            num_heads=rng.choice([4, 8]),
            head_dim=8,
            state_size=4,
            num_groups=rng.choice([1, 1, 2]),
            conv_width=rng.choice([1, 4]),
        ),
        GatedDeltaNetSpec(num_heads=2, head_dim=8, output_gate=rng.random() < 0.8),
        DeltaNetSpec(num_heads=2, head_dim=8, output_gate=rng.random() < 0.5),
    ]
    mixers = rng.sample(kinds, k=rng.choice([1, 1, 2]))
    activation = rng.choice(["swiglu", "swiglu", "relu2"])
    operators: list[OperatorSpec] = []
    for _ in range(rng.randint(1, 3)):
        operators += [rng.choice(mixers), *[FFNSpec(intermediate_size=rng.choice([24, 40]), activation=activation)] * 1]
    if rng.random() < 0.2:
        rng.shuffle(operators)
    return Architecture(
        hidden_size=32, operators=tuple(operators), vocab_size=40, tie_embeddings=rng.random() < 0.5, norm_eps=1e-5
    )


def test_what_a_format_does_not_refuse_it_reproduces(
    tmp_path: Path,
    random_model: Callable[[Architecture], HybridLM],
    relative_rms: Callable[[torch.Tensor, torch.Tensor], float],
) -> None:
    rng, held = random.Random(11), dict.fromkeys(IN_TRANSFORMERS, 0)
    tokens = torch.arange(30)[None]
    for number in range(120):
        found = anything(rng)
        for format_name in IN_TRANSFORMERS:
            if EXPORTERS[format_name].obstacles(found):
                continue
            held[format_name] += 1
            folder = tmp_path / f"{format_name}-{number}"
            folder.mkdir()
            model = random_model(found)
            EXPORTERS[format_name].write(model, folder, tokenizer=None)
            theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
            with torch.no_grad():
                assert relative_rms(theirs(tokens).logits, model(tokens)) <= 1e-4, (format_name, found)
    assert min(held.values()) >= 3, held
    assert max(held.values()) <= 60, held


def test_asking_for_obstacles_needs_no_torch() -> None:
    code = (
        "import sys; from nas.export.native.registry import NATIVE_EXPORTERS; from search_spaces import Architecture; "
        "from search_spaces.specs import FFNSpec; "
        "found = Architecture(hidden_size=8, operators=(FFNSpec(intermediate_size=8),), vocab_size=9); "
        "[exporter.obstacles(found) for exporter in NATIVE_EXPORTERS]; "
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
