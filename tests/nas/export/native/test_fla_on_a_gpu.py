"""Format `fla` in flash-linear-attention itself, where there is a GPU and the package.

Only DeltaNet: fla's attention needs the package flash-attn and 16 bits.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nas.export.native.fla import FlaExporter
from operators.model import HybridLM
from search_spaces import Architecture
from search_spaces.specs import DeltaNetSpec, FFNSpec

pytestmark = [
    pytest.mark.gpu,
    # Other people's packages warn about their own matters.
    pytest.mark.filterwarnings("default"),
]


@pytest.mark.parametrize("output_gate", [False, True])
@pytest.mark.parametrize("num_heads", [1, 2, 4])
def test_fla_gives_our_logits(
    tmp_path: Path,
    random_model: Callable[[Architecture], HybridLM],
    relative_rms: Callable[[torch.Tensor, torch.Tensor], float],
    num_heads: int,
    output_gate: bool,
) -> None:
    pytest.importorskip("fla.models")
    from transformers import AutoModelForCausalLM

    deltanet = DeltaNetSpec(num_heads=num_heads, head_dim=32, output_gate=output_gate)
    architecture = Architecture(
        hidden_size=64, operators=(deltanet, FFNSpec(intermediate_size=96), deltanet), vocab_size=61
    )
    model = random_model(architecture)
    FlaExporter().write(model, tmp_path, tokenizer=None)
    theirs, info = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    tokens = torch.randint(0, 61, (2, 100), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = theirs.cuda().eval()(tokens.cuda()).logits.float().cpu()
        # Its kernels multiply in tf32.
        assert relative_rms(found, model(tokens)) <= 5e-3
