import torch

from nas.winners.utilisation import flops_per_token, peak_flops
from search_spaces import architecture_from_pattern


def test_a_device_without_a_known_peak_has_no_utilisation():
    assert peak_flops(torch.device("cpu"), bfloat16=True) is None


def test_the_peak_of_a_gpu_is_found_by_its_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    assert peak_flops(torch.device("cuda"), bfloat16=True) == 989e12
    assert peak_flops(torch.device("cuda"), bfloat16=False) is None


def test_training_takes_three_forward_passes():
    architecture = architecture_from_pattern("(a f)x4", hidden_size=512, vocab_size=1000)
    flops = flops_per_token(architecture, sequence_tokens=2)
    # 6 N of every matrix [arXiv 2001.08361], the head among them.
    matrices = 4 * (512 * 512 * 4 + 3 * 512 * 4 * 512) + 512 * 1000
    assert 0.5 * 6 * matrices < flops < 1.5 * 6 * matrices
