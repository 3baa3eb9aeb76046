import pytest
import torch

from nas.winners.compiled_layers import compiled_layers
from operators.model import HybridLM
from search_spaces import architecture_from_pattern


# Torch's compiler imports what torch itself calls deprecated.
@pytest.mark.filterwarnings("ignore:`torch.jit.*is deprecated:DeprecationWarning")
def test_every_layer_is_compiled_and_torch_does_not_give_up_on_many_kinds():
    with torch.device("meta"):
        model = HybridLM(architecture_from_pattern("(d f m2 a)x6", hidden_size=64, vocab_size=257), seed=0)
    before = torch._dynamo.config.recompile_limit
    with compiled_layers(model, num_stages=2):
        assert torch._dynamo.config.recompile_limit >= 2 * 24
    assert torch._dynamo.config.recompile_limit == before
    assert all(layer._compiled_call_impl is not None for layer in model.residual_operators)
