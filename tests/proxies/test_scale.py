import pytest
import torch

from operators.cost import num_non_embedding_parameters
from operators.model import HybridLM
from proxies.scale import proxy_scale
from search_spaces import architecture_from_pattern, load_reference
from search_spaces.errors import SpecError
from search_spaces.references import reference_names
from search_spaces.specs import DeltaNetSpec, FFNSpec


def test_the_proxy_differs_from_its_target_in_the_vocabulary_only() -> None:
    target = architecture_from_pattern("d f m2 f a f", hidden_size=128, vocab_size=131072, num_meta_tokens=8)
    proxy = proxy_scale(target, vocab_size=257)
    assert proxy == architecture_from_pattern("d f m2 f a f", hidden_size=128, vocab_size=257, num_meta_tokens=8)
    assert target.vocab_size == 131072


EVERY = "d f m2 f a f w gd hh m1 f"


@pytest.mark.parametrize("fraction", [0.5, 0.25])
def test_a_narrower_proxy_keeps_the_operators_and_shrinks_every_width(fraction: float) -> None:
    target = architecture_from_pattern(EVERY, hidden_size=512, vocab_size=131072, num_meta_tokens=8)
    proxy = proxy_scale(target, vocab_size=257, width_fraction=fraction)
    assert proxy.pattern == target.pattern
    assert (proxy.hidden_size, proxy.num_meta_tokens) == (512 * fraction, 8)
    ratio = num_non_embedding_parameters(proxy) / num_non_embedding_parameters(target)
    assert ratio == pytest.approx(fraction**2, rel=0.3)
    for narrow, wide in zip(proxy.operators, target.operators, strict=True):
        assert type(narrow) is type(wide)
        if isinstance(narrow, FFNSpec) and isinstance(wide, FFNSpec):
            assert narrow.intermediate_size == wide.intermediate_size * fraction
    model = HybridLM(proxy, seed=0)
    assert model(torch.zeros(1, 4, dtype=torch.int64)).shape == (1, 4, 257)


def test_one_head_becomes_a_narrower_head() -> None:
    target = architecture_from_pattern("d a hh m2 f", hidden_size=64, vocab_size=257)
    assert target.operators[0] == DeltaNetSpec(num_heads=1, head_dim=64)
    proxy = proxy_scale(target, vocab_size=257, width_fraction=0.25)
    assert proxy.operators[0] == DeltaNetSpec(num_heads=1, head_dim=16)
    assert HybridLM(proxy, seed=0)(torch.zeros(1, 4, dtype=torch.int64)).shape == (1, 4, 257)


def test_every_reference_can_be_narrowed_to_half() -> None:
    for name in reference_names():
        target = load_reference(name)
        assert proxy_scale(target, vocab_size=257, width_fraction=0.5).pattern == target.pattern, name


@pytest.mark.parametrize("fraction", [0, -1, 1.5, 0.3])
def test_a_fraction_that_does_not_divide_is_refused(fraction: float) -> None:
    target = architecture_from_pattern("d f", hidden_size=128, vocab_size=257)
    with pytest.raises(SpecError, match="width_fraction"):
        proxy_scale(target, vocab_size=257, width_fraction=fraction)


def test_a_layer_of_another_library_is_not_narrowed() -> None:
    target = architecture_from_pattern("fla:kda f", hidden_size=128, vocab_size=257)
    with pytest.raises(SpecError, match="FlaSpec cannot be made narrower"):
        proxy_scale(target, vocab_size=257, width_fraction=0.5)
