"""Where the parameters of one operator are in a foreign layer: the names that several architectures share.

`ours` and `theirs` are the prefixes of the operator in both models, dots included.
"""

from nas.export.native.layout import Layout, Part
from search_spaces import Architecture
from search_spaces.specs import (
    AttentionSpec,
    DeltaNetSpec,
    FFNSpec,
    GatedDeltaNetSpec,
    Mamba2Spec,
    OperatorSpec,
)


def operator_prefix(index: int) -> str:
    """Return what the names of an operator's parameters begin with in our model."""
    return f"layers.{index}.operator."


def outer(architecture: Architecture, *, embedding: str, norm: str, head: str = "lm_head.weight") -> Layout:
    """Return embedding, final norm and, where it is not tied, head."""
    matrix = (architecture.vocab_size, architecture.hidden_size)
    layout = {"embedding": (Part(name=embedding, shape=matrix),), **vector("norm.weight", norm, matrix[1])}
    if not architecture.tie_embeddings:
        layout["head"] = (Part(name=head, shape=matrix),)
    return layout


def vector(ours: str, theirs: str, width: int) -> dict[str, tuple[Part, ...]]:
    """Return one parameter of one axis."""
    return {ours: (Part(name=theirs, shape=(width,)),)}


def operator(spec: OperatorSpec, *, hidden_size: int, ours: str, theirs: str) -> Layout:
    """Return the layout of an operator of any kind described here."""
    match spec:
        case AttentionSpec():
            return attention(spec, hidden_size=hidden_size, ours=ours, theirs=theirs)
        case Mamba2Spec():
            return mamba2(spec, hidden_size=hidden_size, ours=ours, theirs=theirs)
        case DeltaNetSpec():
            return deltanet(spec, hidden_size=hidden_size, ours=ours, theirs=theirs)
        case GatedDeltaNetSpec():
            return gated_deltanet(spec, hidden_size=hidden_size, ours=ours, theirs=theirs)
        case FFNSpec():
            return ffn(spec, hidden_size=hidden_size, ours=ours, theirs=theirs)
        case _:
            raise AssertionError(f"no layout of {spec.kind}, which is an obstacle everywhere")


def attention(spec: AttentionSpec, *, hidden_size: int, ours: str, theirs: str) -> Layout:
    """Return q, k, v and the gate apart, the norms of queries and keys, and biases; of the last four what there is."""
    rows = {
        "q_proj": spec.num_heads * spec.head_dim,
        "k_proj": spec.num_kv_heads * spec.head_dim,
        "v_proj": spec.num_kv_heads * spec.value_dim,
    }
    if spec.output_gate:
        rows["g_proj"] = spec.num_heads * spec.value_dim
    layout = {
        f"{ours}in_projection.weight": tuple(
            Part(name=f"{theirs}{name}.weight", shape=(width, hidden_size)) for name, width in rows.items()
        ),
        f"{ours}output.weight": (
            Part(name=f"{theirs}o_proj.weight", shape=(hidden_size, spec.num_heads * spec.value_dim)),
        ),
    }
    if spec.bias:
        layout[f"{ours}in_projection.bias"] = tuple(
            Part(name=f"{theirs}{name}.bias", shape=(width,)) for name, width in rows.items()
        )
    if spec.qk_norm:
        for name in ("q_norm", "k_norm"):
            layout |= vector(f"{ours}heads.{name}.weight", f"{theirs}{name}.weight", spec.head_dim)
    return layout


def mamba2(spec: Mamba2Spec, *, hidden_size: int, ours: str, theirs: str) -> Layout:
    """Return the names of mamba-ssm's Mamba2, which every architecture kept: in-projection [z, x, B, C, dt]."""
    channels = spec.inner_size + 2 * spec.num_groups * spec.state_size
    rows = spec.inner_size + channels + spec.num_heads
    return {
        f"{ours}in_projection.weight": (Part(name=f"{theirs}in_proj.weight", shape=(rows, hidden_size)),),
        f"{ours}mixer.conv.weight": (Part(name=f"{theirs}conv1d.weight", shape=(channels, 1, spec.conv_width)),),
        **vector(f"{ours}mixer.conv.bias", f"{theirs}conv1d.bias", channels),
        **vector(f"{ours}mixer.dt_bias", f"{theirs}dt_bias", spec.num_heads),
        **vector(f"{ours}mixer.A_log", f"{theirs}A_log", spec.num_heads),
        **vector(f"{ours}mixer.D", f"{theirs}D", spec.num_heads),
        **vector(f"{ours}mixer.norm.weight", f"{theirs}norm.weight", spec.inner_size),
        f"{ours}output.weight": (Part(name=f"{theirs}out_proj.weight", shape=(hidden_size, spec.inner_size)),),
    }


def deltanet(spec: DeltaNetSpec, *, hidden_size: int, ours: str, theirs: str) -> Layout:
    """Return the names of flash-linear-attention's DeltaNet."""
    inner = spec.num_heads * spec.head_dim
    rows = {"q_proj": inner, "k_proj": inner, "v_proj": inner, "b_proj": spec.num_heads}
    if spec.output_gate:
        rows["g_proj"] = inner
    return {
        f"{ours}in_projection.weight": tuple(
            Part(name=f"{theirs}{name}.weight", shape=(width, hidden_size)) for name, width in rows.items()
        ),
        f"{ours}conv.weight": tuple(
            Part(name=f"{theirs}{name}_conv1d.weight", shape=(inner, 1, spec.conv_width)) for name in "qkv"
        ),
        **vector(f"{ours}norm.weight", f"{theirs}o_norm.weight", spec.head_dim),
        f"{ours}output.weight": (Part(name=f"{theirs}o_proj.weight", shape=(hidden_size, inner)),),
    }


def gated_deltanet(spec: GatedDeltaNetSpec, *, hidden_size: int, ours: str, theirs: str) -> Layout:
    """Return the names of Qwen3.5's gated DeltaNet, whose output has a gate."""
    channels = 2 * spec.key_size + spec.inner_size
    rows = {
        "in_proj_qkv": channels,
        "in_proj_b": spec.value_heads,
        "in_proj_a": spec.value_heads,
        "in_proj_z": spec.inner_size,
    }
    return {
        f"{ours}in_projection.weight": tuple(
            Part(name=f"{theirs}{name}.weight", shape=(width, hidden_size)) for name, width in rows.items()
        ),
        f"{ours}conv.weight": (Part(name=f"{theirs}conv1d.weight", shape=(channels, 1, spec.conv_width)),),
        **vector(f"{ours}A_log", f"{theirs}A_log", spec.value_heads),
        **vector(f"{ours}dt_bias", f"{theirs}dt_bias", spec.value_heads),
        **vector(f"{ours}norm.weight", f"{theirs}norm.weight", spec.value_dim),
        f"{ours}output.weight": (Part(name=f"{theirs}out_proj.weight", shape=(hidden_size, spec.inner_size)),),
    }


def ffn(spec: FFNSpec, *, hidden_size: int, ours: str, theirs: str) -> Layout:
    """Return gate and up projection apart, or the up projection alone, and the down projection."""
    names = ("gate_proj", "up_proj") if spec.is_gated else ("up_proj",)
    width = spec.intermediate_size
    return {
        f"{ours}in_projection.weight": tuple(
            Part(name=f"{theirs}{name}.weight", shape=(width, hidden_size)) for name in names
        ),
        f"{ours}output.weight": (Part(name=f"{theirs}down_proj.weight", shape=(hidden_size, width)),),
    }
