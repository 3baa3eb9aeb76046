"""Copies of operators run what a model runs: the same attention calls on tensors of the same shapes."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from latency.copies import OperatorCopy
from latency.measure import profile
from latency.plan import missing, requests_for_architecture
from latency.predict import predict
from latency.workload import Workload
from operators.model import HybridLM
from search_spaces import Architecture, AttentionSpec, FFNSpec, HybridHeadSpec, Mamba2Spec
from search_spaces.specs import OperatorSpec

ATTENTION = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=8, rope_theta=1e4)
WINDOWED = replace(ATTENTION, window=16)
SPECS: dict[str, OperatorSpec] = {
    "attention": ATTENTION,
    "window": WINDOWED,
    "wide window": replace(ATTENTION, window=150),
    "hybrid head": HybridHeadSpec(attention=WINDOWED, ssm=Mamba2Spec(num_heads=4, head_dim=8, state_size=4)),
}
META = 24
TOKENS = 300
HIDDEN_SIZE = 32


class AttentionCalls(TorchDispatchMode):
    """Writes down every fused attention and the shapes it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[object, ...]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if "scaled_dot_product" in str(func):
            self.found.append((str(func), *(tuple(x.shape) for x in args if isinstance(x, torch.Tensor))))
        return func(*args, **(kwargs or {}))


def calls_of(run) -> list[tuple[object, ...]]:
    with torch.no_grad(), AttentionCalls() as calls:
        run()
    return calls.found


def model_of(*operators: OperatorSpec, num_meta_tokens: int) -> HybridLM:
    architecture = Architecture(
        hidden_size=HIDDEN_SIZE, operators=operators, vocab_size=50, num_meta_tokens=num_meta_tokens
    )
    return HybridLM(architecture, seed=0)


def copy_of(spec: OperatorSpec) -> OperatorCopy:
    return OperatorCopy(spec, hidden_size=HIDDEN_SIZE, batch_size=1, dtype="float32", device="cpu")


@pytest.mark.parametrize("num_meta_tokens", [0, META])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_timed_prompt_makes_the_attention_calls_of_a_model(spec: OperatorSpec, num_meta_tokens: int) -> None:
    model = model_of(spec, num_meta_tokens=num_meta_tokens)
    state = model.new_state(batch_size=1, max_tokens=TOKENS, device="cpu", dtype=torch.float32)
    expected = calls_of(lambda: model.prefill(torch.zeros(1, TOKENS, dtype=torch.long), state))
    copy = copy_of(spec)
    copy.prepare_prefill(TOKENS, num_meta_tokens=num_meta_tokens)
    prompt = torch.randn(1, TOKENS, HIDDEN_SIZE)
    for _ in range(2):
        assert calls_of(lambda: copy.prefill(prompt, num_meta_tokens=num_meta_tokens)) == expected
        copy.reset_prefill(TOKENS, num_meta_tokens=num_meta_tokens)


@pytest.mark.parametrize("num_meta_tokens", [0, META])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_timed_step_makes_the_attention_calls_of_a_model(spec: OperatorSpec, num_meta_tokens: int) -> None:
    model = model_of(spec, num_meta_tokens=num_meta_tokens)
    state = model.new_state(batch_size=1, max_tokens=TOKENS + 1, device="cpu", dtype=torch.float32)
    model.prefill(torch.zeros(1, TOKENS, dtype=torch.long), state)
    expected = calls_of(lambda: model.step(torch.zeros(1, dtype=torch.long), state))
    copy = copy_of(spec)
    context_tokens = TOKENS + num_meta_tokens
    copy.prepare_step(context_tokens, num_meta_tokens=num_meta_tokens)
    step = torch.randn(1, HIDDEN_SIZE)
    found = calls_of(lambda: copy.step(step, context_tokens=context_tokens, num_meta_tokens=num_meta_tokens))
    assert found == expected


def test_an_operator_that_reads_anothers_keys_reads_a_prompt_behind_meta_tokens() -> None:
    reader = replace(WINDOWED, shares_kv_with=0)
    model = model_of(WINDOWED, reader, num_meta_tokens=META)
    state = model.new_state(batch_size=1, max_tokens=TOKENS, device="cpu", dtype=torch.float32)
    expected = calls_of(lambda: model.prefill(torch.zeros(1, TOKENS, dtype=torch.long), state))
    copy = copy_of(reader)
    copy.prepare_prefill(TOKENS, num_meta_tokens=META)
    found = calls_of(lambda: copy.prefill(torch.randn(1, TOKENS, HIDDEN_SIZE), num_meta_tokens=META))
    assert found == expected[len(expected) // 2 :]


def test_a_state_that_is_reset_holds_the_meta_tokens_again() -> None:
    copy = copy_of(ATTENTION)
    copy.prepare_prefill(5, num_meta_tokens=3)
    (prompt,) = copy._prompts.values()
    copy.prefill(torch.randn(1, 5, HIDDEN_SIZE), num_meta_tokens=3)
    assert int(prompt.state.position) == 8
    copy.reset_prefill(5, num_meta_tokens=3)
    assert int(prompt.state.position) == 3
    assert (prompt.state.keys[:, :3] != 0).all()
    assert (prompt.state.keys[:, 3:] == 0).all()


def test_models_with_and_without_meta_tokens_are_priced_from_rows_of_their_own() -> None:
    plain = Architecture(hidden_size=HIDDEN_SIZE, operators=(WINDOWED, FFNSpec(intermediate_size=16)), vocab_size=50)
    with_meta = replace(plain, num_meta_tokens=META)
    workload = Workload(phase="both", prompt_tokens=40, generated_tokens=4)
    requests = [row for each in (plain, with_meta) for row in requests_for_architecture(each, workload=workload)]
    table = profile(requests, device="cpu", num_threads=1, seconds_per_set=0.0, num_sweeps=1)
    assert table.failed == []
    prompts = {row.key.num_meta_tokens for row in table if row.key.phase == "prefill" and "window" in row.key.operator}
    assert prompts == {0, META}
    for architecture in (plain, with_meta):
        assert not missing(requests_for_architecture(architecture, workload=workload), table)
        assert predict(architecture, workload, table).milliseconds > 0


def test_a_long_prompt_is_read_in_the_pieces_in_which_the_decoder_reads_it(monkeypatch) -> None:
    spec = AttentionSpec(num_heads=2, num_kv_heads=1, head_dim=8)
    copy = OperatorCopy(spec, hidden_size=16, batch_size=2, dtype="float32", device="cpu")
    copy.prepare_prefill(21, num_meta_tokens=3)
    x_BTD = torch.randn(2, 21, 16)
    with torch.inference_mode():
        whole = copy.prefill(x_BTD, num_meta_tokens=3)
        copy.rewind_prefill(21, num_meta_tokens=3)
        lengths = []
        copy.module.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
        monkeypatch.setattr("latency.copies.chunk_length", lambda _: 8)
        in_pieces = copy.prefill(x_BTD, num_meta_tokens=3)
    assert lengths == [8, 8, 5]
    torch.testing.assert_close(in_pieces, whole, rtol=1e-4, atol=1e-5)
