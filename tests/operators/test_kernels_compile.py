"""Our Triton kernels compile for an H100 without one: what the interpreter accepts, the compiler need not."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

# In a process of its own: in this one, kernels were made for the interpreter.
COMPILE = """
import importlib, json, sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

module, name, types, constants = json.loads(sys.argv[1])
if "DTYPE" in constants:
    constants["DTYPE"] = getattr(triton.language, constants["DTYPE"])
kernel = getattr(importlib.import_module(module), name)
names = [parameter.name for parameter in kernel.params]
signature = {name: "constexpr" if name in constants else types.get(name, "*bf16" if name.endswith("_ptr") else "i32")
             for name in names}
source = ASTSource(fn=kernel, signature=signature,
                   constexprs={(names.index(name),): value for name, value in constants.items()})
compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})
print(len(compiled.asm["cubin"]))
"""

STATES = {"carried_ptr": "*fp32", "unfinished_ptr": "*fp32", "counters_ptr": "*i32"}
FLOATS = {"scale": "fp32", "unit_eps": "fp32", "norm_eps": "fp32"}
DELTA = {"J": 3, "KEYS": 128, "BLOCK": 16, "VALUES": 128}
PROJECTION = {"NORMED": True, "BIASED": True, "RESIDUAL": True, "ACTIVATION": "none"}
GATE = {"NORMED": True, "BIASED": False, "RESIDUAL": False, "ACTIVATION": "swiglu"}
FEW = {"B": 2, "ROWS": 4, "COLUMNS": 2048}
MANY = {"ROWS": 16, "TOKENS": 16, "WARPS": 4, "COLUMNS": 128, "INTERPRETED": False}
CACHE = {"position_ptr": "*i64", "frequency_ptr": "*fp32", "scale": "fp32"}
ATTENTION = {"KEYS": 128, "VALUES": 128, "BLOCK": 64, "SPLITS": 64, "CHUNK": 32, "STAGES": 3}

KERNELS: dict[str, tuple[str, str, dict[str, str], dict[str, Any]]] = {
    "DeltaNet": (
        "operators.deltanet.kernels",
        "_delta_step",
        STATES | FLOATS,
        DELTA | {"TWICE_BETA": False, "DECAYS": False, "GATED": False},
    ),
    "gated DeltaNet": (
        "operators.deltanet.kernels",
        "_delta_step",
        STATES | FLOATS,
        DELTA | {"TWICE_BETA": True, "DECAYS": True, "GATED": True},
    ),
    "attention, a ring, grouped queries": (
        "operators.attention.kernels",
        "_attention_step",
        STATES | FLOATS | CACHE,
        ATTENTION
        | {"ROWS": 16, "HEADS": 4, "HALF": 64, "DOTS": True, "DTYPE": "bfloat16"}
        | {"NORMED": True, "OWN": True, "GATED": True, "WINDOWED": True, "WRAPS": True},
    ),
    "attention, another's cache, one query head": (
        "operators.attention.kernels",
        "_attention_step",
        STATES | FLOATS | CACHE,
        ATTENTION
        | {"ROWS": 1, "HEADS": 1, "HALF": 0, "DOTS": False, "DTYPE": "float32"}
        | {"NORMED": False, "OWN": False, "GATED": False, "WINDOWED": False, "WRAPS": False}
        # What Triton makes of arguments that are one.
        | {"G": 1, "R": 1, "M": 1},
    ),
    "weight normalization": (
        "operators.weight_norm_kernels",
        "_normalize",
        {"table_ptr": "*i64"},
        {"DTYPE": "float32", "ROWS": 4, "COLUMNS": 64, "STEP": 256},
    ),
    "Mamba2": (
        "operators.mamba2.kernels",
        "_mamba2_step",
        STATES | FLOATS,
        {"J": 3, "BLOCK": 16, "STATES": 128, "NORM": 1024},
    ),
    "projection of few tokens": (
        "operators.projection_kernels",
        "_few_tokens",
        {"eps": "fp32"},
        PROJECTION | FEW,
    ),
    "projection of many tokens": (
        "operators.projection_kernels",
        "_many_tokens",
        {"eps": "fp32"},
        PROJECTION | MANY,
    ),
    "gate of few tokens": ("operators.projection_kernels", "_few_tokens", {"eps": "fp32"}, GATE | FEW),
    "gate of many tokens": ("operators.projection_kernels", "_many_tokens", {"eps": "fp32"}, GATE | MANY),
    "GELU of few tokens": (
        "operators.projection_kernels",
        "_few_tokens",
        {"eps": "fp32"},
        GATE | FEW | {"ACTIVATION": "gelu"},
    ),
}


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_compiles_for_an_h100(name: str) -> None:
    # Products are fused into sums: Triton 3.9's default, which it asks to be spelt out.
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    result = subprocess.run(
        [sys.executable, "-c", COMPILE, json.dumps(KERNELS[name])],
        capture_output=True,
        text=True,
        env=environment | {"TRITON_DEFAULT_FP_FUSION": "1"},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 1000
