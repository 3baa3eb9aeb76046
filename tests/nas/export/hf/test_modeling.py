import pytest
import torch

from nas.export.round_trip import LARGEST_DIFFERENCE, relative_rms
from search_spaces import Architecture
from search_spaces.specs import AttentionSpec, DeltaNetSpec
from tests.nas.export.conftest import RECURRENT

SEEDS = range(14)
TOKENS = 70
"""More than a chunk of the scans."""


@pytest.fixture(scope="module", params=SEEDS)
def pair(request, pair_of, architecture_of):
    return pair_of(architecture_of(request.param))


@pytest.fixture(scope="module")
def recurrent(pair_of, architecture_of):
    return pair_of(architecture_of(3, kinds=RECURRENT))


def tokens(batch=2, length=TOKENS):
    return torch.randint(256, (batch, length), generator=torch.Generator().manual_seed(length))


def logits(model, ids, **arguments):
    with torch.no_grad():
        return model(ids, **arguments).logits


@torch.no_grad()
def test_logits_of_the_reloaded_model_are_ours(pair):
    assert relative_rms(pair.ours(tokens()), logits(pair.foreign, tokens(), use_cache=False)) < LARGEST_DIFFERENCE / 10


@torch.no_grad()
def test_logits_with_a_cache_are_those_without(pair):
    ids, cache, parts = tokens(), None, []
    for first, end in ((0, 40), (40, 41), (41, 42), (42, 60), (60, 70)):
        output = pair.foreign(ids[:, first:end], past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        parts.append(output.logits)
    assert cache.get_seq_length() == TOKENS
    assert relative_rms(pair.ours(ids), torch.cat(parts, dim=1)) < LARGEST_DIFFERENCE


@torch.no_grad()
def test_a_row_with_padding_anywhere_is_the_row_alone_also_in_chunks(pair):
    ids, mask = tokens(batch=3), torch.ones(3, TOKENS, dtype=torch.long)
    mask[0, :17] = 0
    mask[1, 5:16] = mask[1, 39:44] = 0
    mask[2, :1] = mask[2, 62:] = 0
    whole = logits(pair.foreign, ids, attention_mask=mask, use_cache=False)
    cache, parts = None, []
    for first, end in ((0, 20), (20, 41), (41, 42), (42, 70)):
        output = pair.foreign(ids[:, first:end], attention_mask=mask[:, :end], past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        parts.append(output.logits)
    for row in range(3):
        is_token = mask[row].bool()
        alone = pair.ours(ids[row : row + 1, is_token])[0]
        for found in (whole, torch.cat(parts, dim=1)):
            assert relative_rms(alone, found[row, is_token]) < LARGEST_DIFFERENCE


@torch.no_grad()
def test_greedy_text_with_a_cache_is_the_likeliest_of_our_model(pair):
    ids = tokens(batch=2, length=9)
    made = pair.foreign.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=256, eos_token_id=None)
    assert torch.equal(made[:, 9:], pair.ours(made[:, :-1])[:, 8:].argmax(-1))


@pytest.mark.parametrize("which", ["mixed", "recurrent"])
@torch.no_grad()
def test_beams_and_samples_with_a_cache_are_those_without(which, recurrent, pair_of, architecture_of):
    model = (recurrent if which == "recurrent" else pair_of(architecture_of(1))).foreign
    ids, mask = tokens(batch=2, length=12), torch.ones(2, 12, dtype=torch.long)
    mask[0, :5] = 0
    common = {"attention_mask": mask, "max_new_tokens": 10, "pad_token_id": 256, "eos_token_id": None}
    for settings in ({"num_beams": 3, "num_return_sequences": 2}, {"do_sample": True, "top_k": 4}):
        made = []
        for use_cache in (True, False):
            torch.manual_seed(1)
            made.append(model.generate(ids, use_cache=use_cache, **common, **settings))
        assert torch.equal(*made)


@torch.no_grad()
def test_a_batch_padded_on_the_left_generates_what_each_generates_alone(recurrent):
    ids, mask = tokens(batch=2, length=12), torch.ones(2, 12, dtype=torch.long)
    mask[0, :7] = 0
    settings = {"max_new_tokens": 10, "do_sample": False, "pad_token_id": 256, "eos_token_id": None}
    together = recurrent.foreign.generate(ids, attention_mask=mask, **settings)
    assert torch.equal(together[0, 12:], recurrent.foreign.generate(ids[:1, 7:], **settings)[0, 5:])
    assert torch.equal(together[1], recurrent.foreign.generate(ids[1:], **settings)[0])


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_gradient_checkpointing_computes_operators_twice_and_the_same_gradients(
    pair_of, architecture_of, use_reentrant
):
    model = pair_of(architecture_of(0)).foreign.train()
    ids, calls = tokens(length=20), []
    handles = [layer.operator.register_forward_pre_hook(lambda *_: calls.append(1)) for layer in model.model.layers]

    def gradients():
        model.zero_grad()
        calls.clear()
        model(ids, labels=ids).loss.backward()
        return len(calls), {name: weight.grad.clone() for name, weight in model.named_parameters()}

    once, plain = gradients()
    model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
    model.enable_input_require_grads()
    twice, checkpointed = gradients()
    for handle in handles:
        handle.remove()
    assert twice == 2 * once == 2 * len(model.model.layers)
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, msg=name)


@pytest.mark.filterwarnings("ignore:The following device_map keys")  # meta tokens are a parameter, no module
@torch.no_grad()
def test_a_model_spread_over_devices_remembers(pair_of, architecture_of):
    accelerate = pytest.importorskip("accelerate")
    pair = pair_of(architecture_of(6))
    ids = tokens(batch=2, length=9)
    settings = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 256, "eos_token_id": None}
    alone = pair.foreign.generate(ids, **settings)
    places = {f"model.layers.{index}": "cpu" for index in range(len(pair.foreign.model.layers))}
    places |= dict.fromkeys(("model.embed_tokens", "model.meta_tokens", "model.norm", "lm_head"), "cpu")
    # The hooks that move tensors run on one device, too, and give every operator what they would give it elsewhere.
    spread = accelerate.dispatch_model(pair.foreign, places, main_device="cpu", force_hooks=True)
    assert torch.equal(spread.generate(ids, **settings), alone)


@torch.no_grad()
def test_the_model_without_its_head_is_loaded_too(code, pair_of, architecture_of):
    pair = pair_of(architecture_of(2))
    stream = code.HybridNASModel.from_pretrained(pair.folder).eval()(tokens()).last_hidden_state
    torch.testing.assert_close(pair.foreign.lm_head(stream), logits(pair.foreign, tokens()))


@torch.no_grad()
def test_a_cache_keeps_no_more_than_the_widest_window_that_reads_it(pair_of):
    own = {"num_heads": 2, "num_kv_heads": 1, "head_dim": 8, "rope_theta": 1e4}
    operators = (
        AttentionSpec(**own, window=3),
        AttentionSpec(**own, window=6, shares_kv_with=0),
        AttentionSpec(**own, window=4),
        AttentionSpec(**own),
        DeltaNetSpec(num_heads=2, head_dim=8),
    )
    pair = pair_of(Architecture(hidden_size=32, vocab_size=257, operators=operators, num_meta_tokens=2))
    cache = pair.foreign(tokens(length=40), use_cache=True).past_key_values
    slots = [memory["keys"].shape[2] if "keys" in memory else None for memory in cache.memories]
    assert slots == [2 + 5, None, 2 + 3, 2 + 40, None]
    assert cache.memories[4].keys() == {"history", "carried"}
    assert cache.memories[4]["history"].shape[1] == 3


def test_hidden_states_and_few_logits_are_those_of_the_whole(recurrent):
    ids = tokens(length=10)
    output = recurrent.foreign(ids, output_hidden_states=True)
    assert len(output.hidden_states) == recurrent.ours.architecture.depth + 1
    assert all(x.shape == (2, 10, 32) for x in output.hidden_states)
    torch.testing.assert_close(logits(recurrent.foreign, ids, logits_to_keep=1), output.logits[:, -1:])


def test_embeddings_in_place_of_tokens_give_the_same(pair_of, architecture_of):
    model = pair_of(architecture_of(2)).foreign
    ids = tokens(length=10)
    given = model.get_input_embeddings()(ids)
    torch.testing.assert_close(logits(model, None, inputs_embeds=given), logits(model, ids))


def test_a_cache_of_transformers_own_is_refused(recurrent):
    from transformers import DynamicCache

    with pytest.raises(TypeError, match="HybridCache"):
        recurrent.foreign(tokens(), past_key_values=DynamicCache())


def test_a_mask_of_another_length_is_refused(recurrent):
    with pytest.raises(ValueError, match=r"attention_mask must be \[batch, 70\]"):
        recurrent.foreign(tokens(), attention_mask=torch.ones(2, 71))


def test_weights_that_no_checkpoint_gave_are_drawn_and_tied_where_ours_are(code, pair_of, architecture_of):
    architecture = architecture_of(4)
    pair = pair_of(architecture)
    fresh = code.HybridNASForCausalLM(pair.foreign.config)
    assert all(torch.isfinite(weight).all() for weight in fresh.parameters())
    assert logits(fresh, tokens()).isfinite().all()
    is_tied = fresh.lm_head.weight is fresh.model.embed_tokens.weight
    assert is_tied == architecture.tie_embeddings


def test_a_model_saved_by_transformers_is_the_same_model(code, recurrent, tmp_path):
    recurrent.foreign.save_pretrained(tmp_path)
    again = code.HybridNASForCausalLM.from_pretrained(tmp_path).eval()
    assert torch.equal(logits(again, tokens()), logits(recurrent.foreign, tokens()))
