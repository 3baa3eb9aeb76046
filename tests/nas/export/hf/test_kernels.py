"""The kernels of other packages that the exported code calls on a GPU, beside its plain torch."""

import pytest
import torch

from nas.export.round_trip import relative_rms

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("kind", ["mamba1", "mamba2", "deltanet", "gated_deltanet"])
@torch.no_grad()
def test_kernels_compute_what_plain_torch_does_also_behind_padding_and_from_a_state(kind, pair_of, architecture_of):
    pytest.importorskip("fla" if "delta" in kind else "mamba_ssm")
    model = pair_of(architecture_of(0, kinds=(kind, "ffn"))).foreign.to("cuda", torch.bfloat16)
    ids = torch.randint(256, (2, 90), generator=torch.Generator().manual_seed(0)).cuda()
    mask = torch.ones_like(ids)
    mask[0, :21] = 0
    found = []
    for use_kernels in (True, False):
        model.config.use_kernels = use_kernels
        first = model(ids[:, :60], attention_mask=mask[:, :60], use_cache=True)
        second = model(ids[:, 60:], attention_mask=mask, past_key_values=first.past_key_values)
        found.append(torch.cat((first.logits, second.logits), dim=1)[mask.bool()].float())
    assert relative_rms(found[1], found[0]) < 0.05
