import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import (
    Architecture,
    AttentionSpec,
    DeltaNetSpec,
    FFNSpec,
    HybridHeadSpec,
    Mamba1Spec,
    Mamba2Spec,
    RopeScaling,
    SpecError,
    architecture_from_pattern,
    load_reference,
    spec_from_dict,
    spec_to_dict,
)

small = st.integers(1, 8)
thetas = st.none() | st.floats(1.0, 1e6)
scalings = st.none() | st.builds(RopeScaling, factor=st.floats(1.0, 64.0))


@st.composite
def attentions(draw: st.DrawFn) -> AttentionSpec:
    theta = draw(thetas)
    num_kv_heads = draw(small)
    return AttentionSpec(
        num_heads=num_kv_heads * draw(small),
        num_kv_heads=num_kv_heads,
        head_dim=2 * draw(small),
        value_head_dim=draw(st.none() | small),
        window=draw(st.none() | st.integers(1, 4096)),
        rope_theta=theta,
        rope_scaling=draw(scalings) if theta is not None else None,
        qk_norm=draw(st.booleans()),
        bias=draw(st.booleans()),
    )


@st.composite
def hybrid_heads(draw: st.DrawFn) -> HybridHeadSpec:
    attention = draw(attentions())
    width = attention.num_heads * attention.value_dim
    return HybridHeadSpec(
        attention=attention,
        ssm=draw(
            st.sampled_from(
                [Mamba1Spec(inner_size=width, dt_rank=4), Mamba2Spec(num_heads=width, head_dim=1, state_size=8)]
            )
        ),
    )


operators = st.one_of(
    attentions(),
    hybrid_heads(),
    st.builds(Mamba1Spec, inner_size=small, dt_rank=small, state_size=small, inner_norms=st.booleans()),
    st.builds(Mamba2Spec, num_heads=small, head_dim=small, state_size=small, conv_width=small),
    st.builds(DeltaNetSpec, num_heads=small, head_dim=small, output_gate=st.booleans()),
    st.builds(FFNSpec, intermediate_size=small, activation=st.sampled_from(["swiglu", "relu2", "gelu"])),
)
architectures = st.builds(
    Architecture,
    hidden_size=small,
    operators=st.lists(operators, min_size=1, max_size=8).map(tuple),
    vocab_size=small,
    num_meta_tokens=st.integers(0, 4),
    tie_embeddings=st.booleans(),
    norm_eps=st.sampled_from([1e-6, 1e-5]),
)


@given(architectures)
def test_an_architecture_survives_json(architecture: Architecture) -> None:
    written = json.loads(json.dumps(architecture.to_dict()))
    assert Architecture.from_dict(written) == architecture
    assert Architecture.from_dict(written).fingerprint() == architecture.fingerprint()


@given(operators)
def test_an_operator_survives_without_its_defaults(spec: FFNSpec) -> None:
    assert spec_from_dict(spec_to_dict(spec, omit_defaults=True)) == spec


@given(architectures, architectures)
def test_fingerprints_are_equal_exactly_when_architectures_are(first: Architecture, second: Architecture) -> None:
    assert (first.fingerprint() == second.fingerprint()) == (first == second)


def test_fingerprints_never_change() -> None:
    assert load_reference("nemotron-flash-1b").fingerprint() == "59ba6b9b7e7186de"
    assert load_reference("hymba-1.5b").fingerprint() == "5d2c9e3df003d22b"


def test_a_fingerprint_leaves_fields_at_their_default_out() -> None:
    architecture = architecture_from_pattern("a f", hidden_size=64, vocab_size=256)
    spec = spec_to_dict(architecture.operators[0], omit_defaults=True)
    assert set(spec) == {"kind", "num_heads", "num_kv_heads", "head_dim"}
    gated = replace(architecture.operators[0], output_gate=True)
    assert spec_to_dict(gated, omit_defaults=True) == spec | {"output_gate": True}
    changed = replace(architecture, operators=(gated, *architecture.operators[1:]))
    assert changed.fingerprint() != architecture.fingerprint()


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": 128},
        {"vocab_size": 257},
        {"num_meta_tokens": 1},
        {"tie_embeddings": False},
        {"norm_eps": 1e-5},
        {"operators": architecture_from_pattern("a a f", hidden_size=64, vocab_size=1).operators},
    ],
)
def test_every_field_changes_the_fingerprint(change: dict[str, Any]) -> None:
    architecture = architecture_from_pattern("a f", hidden_size=64, vocab_size=256)
    assert replace(architecture, **change).fingerprint() != architecture.fingerprint()


def _written() -> dict[str, Any]:
    return architecture_from_pattern("a f", hidden_size=64, vocab_size=256).to_dict()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 2}, "schema_version must be 1; got 2"),
        ({"hiden_size": 64}, "Did you mean 'hidden_size'?"),
        ({"operators": []}, "at least one operator"),
        ({"operators": {"a": 1}}, "operators must be a list; got dict"),
        ({"operators": [{"kind": "attentoin"}]}, "Did you mean 'attention'?"),
        ({"operators": [{"kind": ["attention"]}]}, "unknown kind"),
        ({"operators": ["attention"]}, "operators[0] must be a mapping; got str"),
        ({"operators": [{"kind": "ffn", "intermediate_width": 8}]}, "Did you mean 'intermediate_size'?"),
        ({"operators": [{"kind": "deltanet", "num_heads": 8}]}, "operators[0] (deltanet) lacks head_dim"),
        ({"vocab_size": 0}, "vocab_size must be an integer of at least 1; got 0"),
        ({"tie_embeddings": "yes"}, "tie_embeddings must be true or false"),
        ({"norm_eps": "1e-5"}, "norm_eps must be a number"),
    ],
)
def test_reading_is_strict_and_names_the_near_miss(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        Architecture.from_dict({**_written(), **change})
    assert words in str(caught.value)


def test_a_missing_field_is_named() -> None:
    written = _written()
    del written["operators"]
    with pytest.raises(SpecError, match="lacks operators"):
        Architecture.from_dict(written)


def test_something_else_than_a_mapping_is_refused() -> None:
    with pytest.raises(SpecError, match="must be a mapping; got list"):
        Architecture.from_dict([])


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"shares_kv_with": 2}, "own keys and values; got 2. Possible: 0."),
        ({"shares_kv_with": 1}, "own keys and values; got 1. Possible: 0."),
        ({"shares_kv_with": 0, "num_kv_heads": 1}, "its own form (1 KV heads, keys of 8"),
        ({"shares_kv_with": 0, "num_kv_heads": 1}, "None is possible here: leave shares_kv_with out."),
        ({"shares_kv_with": 0, "rope_theta": 1e4}, "8 channels rotated, rope_theta 10000); got operators[0]"),
        ({"shares_kv_with": 3}, "got 3. Possible: 0."),
    ],
)
def test_keys_and_values_are_shared_only_with_an_earlier_operator_of_their_form(
    own: dict[str, Any], words: str
) -> None:
    attention = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=8)
    operators = (attention, FFNSpec(intermediate_size=8), replace(attention, **own))
    with pytest.raises(SpecError) as caught:
        Architecture(hidden_size=32, operators=operators, vocab_size=8)
    assert words in str(caught.value)


def test_a_chain_of_shared_keys_and_values_is_refused() -> None:
    attention = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=8)
    operators = (attention, replace(attention, shares_kv_with=0), replace(attention, shares_kv_with=1))
    with pytest.raises(SpecError, match=r"got 1\. Possible: 0\."):
        Architecture(hidden_size=32, operators=operators, vocab_size=8)
