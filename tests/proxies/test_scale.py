from proxies.scale import proxy_scale
from search_spaces import architecture_from_pattern


def test_the_proxy_differs_from_its_target_in_the_vocabulary_only() -> None:
    target = architecture_from_pattern("d f m2 f a f", hidden_size=128, vocab_size=131072, num_meta_tokens=8)
    proxy = proxy_scale(target, vocab_size=257)
    assert proxy == architecture_from_pattern("d f m2 f a f", hidden_size=128, vocab_size=257, num_meta_tokens=8)
    assert target.vocab_size == 131072
