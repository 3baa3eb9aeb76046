"""What every operator promises, whatever it computes; `every_spec` must hold each kind the registry knows."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from operators.base import Operator
from operators.context import Documents, SequenceContext
from operators.registry import REGISTRY, build_operator
from search_spaces.specs import FFNSpec, FlaSpec, OperatorSpec

CloseCheck = Callable[..., None]
NORM_EPS = 1e-6
BATCH = 2


@pytest.fixture
def operator(spec: OperatorSpec, hidden_size: int) -> Operator[Any]:
    return build_operator(spec, hidden_size=hidden_size, norm_eps=NORM_EPS)


@pytest.fixture
def reference(spec: OperatorSpec, hidden_size: int, operator: Operator[Any]) -> Operator[Any]:
    slow = build_operator(spec, hidden_size=hidden_size, norm_eps=NORM_EPS, backend="reference")
    slow.load_state_dict(operator.state_dict())
    return slow.double()


def random_input(tokens: int, hidden_size: int, *, seed: int = 3) -> Tensor:
    return torch.randn(BATCH, tokens, hidden_size, generator=torch.Generator().manual_seed(seed))


def state_for(operator: Operator[Any], *, tokens: int, meta: int = 0, dtype: torch.dtype = torch.float32) -> Any:
    return operator.new_state(batch_size=BATCH, max_tokens=tokens, device="cpu", dtype=dtype, num_meta_tokens=meta)


def in_chunks(operator: Operator[Any], x_BTD: Tensor, sizes: tuple[int, ...], *, meta: int = 0) -> Tensor:
    state = state_for(operator, tokens=x_BTD.shape[1], meta=meta)
    context = SequenceContext(num_meta_tokens=meta)
    with torch.no_grad():
        return torch.cat([operator(chunk, state=state, context=context) for chunk in x_BTD.split(sizes, dim=1)], dim=1)


def in_steps(operator: Operator[Any], x_BTD: Tensor, *, meta: int = 0) -> Tensor:
    state = state_for(operator, tokens=x_BTD.shape[1], meta=meta)
    return torch.stack([operator.step(x_BD, state) for x_BD in x_BTD.unbind(1)], dim=1)


def gradients(operator: Operator[Any], x_BTD: Tensor, context: SequenceContext) -> dict[str, Tensor]:
    x_BTD = x_BTD.clone().requires_grad_()
    operator.zero_grad()
    y_BTD = operator(x_BTD, context=context)
    weights = torch.linspace(-1, 1, y_BTD[0].numel(), dtype=y_BTD.dtype).reshape_as(y_BTD[0]).sin()
    (y_BTD * weights).sum().backward()
    found = {name: parameter.grad for name, parameter in operator.named_parameters()}
    found["input"] = x_BTD.grad
    missing = [name for name, grad in found.items() if grad is None]
    assert not missing, f"no gradient for {missing}"
    return {"output": y_BTD.detach(), **{name: grad for name, grad in found.items() if grad is not None}}


def test_every_registered_kind_is_under_this_contract(every_spec: dict[str, OperatorSpec]) -> None:
    # Layers of fla need a GPU: test_gpu_backends.py holds them to it, test_fla_bridge.py the bridge to them.
    assert {type(spec) for spec in every_spec.values()} == set(REGISTRY.spec_classes()) - {FlaSpec}


@pytest.mark.parametrize("tokens", [1, 63, 65])
@pytest.mark.parametrize("meta", [0, 3])
def test_outputs_and_every_gradient_equal_a_float64_reference(
    operator: Operator[Any],
    reference: Operator[Any],
    assert_close: CloseCheck,
    tokens: int,
    meta: int,
    hidden_size: int,
) -> None:
    x_BTD = random_input(tokens + meta, hidden_size)
    context = SequenceContext(num_meta_tokens=meta)
    actual, expected = gradients(operator, x_BTD, context), gradients(reference, x_BTD.double(), context)
    for name, value in expected.items():
        assert_close(actual[name], value, what=name)


@pytest.mark.parametrize("sizes", [(1, 64), (63, 2), (20, 1, 44), (33, 32)])
@pytest.mark.parametrize("meta", [0, 3])
def test_chunks_of_any_size_continue_one_another(
    operator: Operator[Any], assert_close: CloseCheck, sizes: tuple[int, ...], meta: int, hidden_size: int
) -> None:
    x_BTD = random_input(sum(sizes), hidden_size)
    whole = operator(x_BTD, context=SequenceContext(num_meta_tokens=meta))
    assert_close(in_chunks(operator, x_BTD, sizes, meta=meta), whole)


@pytest.mark.parametrize("meta", [0, 3])
def test_step_by_step_equals_the_whole_sequence(
    operator: Operator[Any], assert_close: CloseCheck, meta: int, hidden_size: int
) -> None:
    x_BTD = random_input(65, hidden_size)
    whole = operator(x_BTD, context=SequenceContext(num_meta_tokens=meta))
    assert_close(in_steps(operator, x_BTD, meta=meta), whole)


def test_steps_continue_a_chunk_and_a_chunk_continues_steps(
    operator: Operator[Any], assert_close: CloseCheck, hidden_size: int
) -> None:
    x_BTD = random_input(40, hidden_size)
    state, context = state_for(operator, tokens=40), SequenceContext()
    with torch.no_grad():
        first = operator(x_BTD[:, :17], state=state, context=context)
        middle = torch.stack([operator.step(x_BTD[:, t], state) for t in range(17, 30)], dim=1)
        last = operator(x_BTD[:, 30:], state=state, context=context)
    assert_close(torch.cat((first, middle, last), dim=1), operator(x_BTD, context=context))


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("meta", [0, 3])
def test_packed_documents_equal_documents_alone(
    spec: OperatorSpec, assert_close: CloseCheck, hidden_size: int, meta: int, backend: str
) -> None:
    operator = build_operator(spec, hidden_size=hidden_size, norm_eps=NORM_EPS, backend=backend)
    lengths = ((20, 33, 12), (3, 1, 61))
    x_BTD = random_input(65, hidden_size)
    meta_BMD = random_input(meta, hidden_size, seed=5)[:1]
    ids_BT = torch.stack([torch.repeat_interleave(torch.tensor([4, 9, 4]), torch.tensor(row)) for row in lengths])
    packed = operator(
        torch.cat((meta_BMD.expand(BATCH, -1, -1), x_BTD), dim=1),
        context=SequenceContext(num_meta_tokens=meta, documents=Documents.from_ids(ids_BT)),
    )[:, meta:]
    for row, sizes in enumerate(lengths):
        for actual, document in zip(packed[row].split(sizes), x_BTD[row].split(sizes), strict=True):
            alone = operator(
                torch.cat((meta_BMD, document[None]), dim=1), context=SequenceContext(num_meta_tokens=meta)
            )
            assert_close(actual, alone[0, meta:])


def test_gradients_of_packed_documents_equal_those_of_the_reference(
    operator: Operator[Any], reference: Operator[Any], assert_close: CloseCheck, hidden_size: int
) -> None:
    x_BTD = random_input(65, hidden_size)
    ids_BT = torch.zeros(BATCH, 62, dtype=torch.long)
    ids_BT[0, 20:], ids_BT[0, 53:], ids_BT[1, 1:] = 1, 2, 7
    context = SequenceContext(num_meta_tokens=3, documents=Documents.from_ids(ids_BT))
    actual, expected = gradients(operator, x_BTD, context), gradients(reference, x_BTD.double(), context)
    for name, value in expected.items():
        assert_close(actual[name], value, what=name)


def test_nothing_leaks_between_documents_or_from_the_future(operator: Operator[Any], hidden_size: int) -> None:
    ids_BT = torch.zeros(BATCH, 65, dtype=torch.long)
    ids_BT[:, 30:] = 1
    x_BTD = random_input(65, hidden_size).requires_grad_()
    y_BTD = operator(x_BTD, context=SequenceContext(documents=Documents.from_ids(ids_BT)))
    y_BTD[:, 30:45].square().sum().backward()
    assert x_BTD.grad is not None
    seen_T = x_BTD.grad.abs().sum((0, 2))
    assert (seen_T[30:45] > 0).all()
    assert (seen_T[45:] == 0).all()
    # Mamba2 takes decays as differences of sums that run on over a boundary: what remains is rounding.
    assert seen_T[:30].max() < 1e-6 * seen_T[30:45].min()


def test_the_future_has_no_gradient(operator: Operator[Any], hidden_size: int) -> None:
    x_BTD = random_input(65, hidden_size).requires_grad_()
    operator(x_BTD, context=SequenceContext())[:, :40].square().sum().backward()
    assert x_BTD.grad is not None
    assert (x_BTD.grad[:, 40:] == 0).all()
    assert (x_BTD.grad[:, 39] != 0).any()


def test_rows_of_a_batch_do_not_know_each_other(
    operator: Operator[Any], assert_close: CloseCheck, hidden_size: int
) -> None:
    x_BTD = random_input(33, hidden_size)
    both = operator(x_BTD, context=SequenceContext())
    assert_close(both[1:], operator(x_BTD[1:], context=SequenceContext()))


@pytest.fixture
def nan_in_new_memory() -> Iterator[None]:
    """Fill what torch.empty returns with NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("nan_in_new_memory")
def test_no_uninitialised_memory_is_read(operator: Operator[Any], hidden_size: int) -> None:
    x_BTD = random_input(45, hidden_size)
    assert torch.empty(3).isnan().all()
    for name, value in gradients(operator, x_BTD, SequenceContext(num_meta_tokens=2)).items():
        assert value.isfinite().all(), name
    assert in_chunks(operator, x_BTD, (1, 20, 24)).isfinite().all()
    assert in_steps(operator, x_BTD).isfinite().all()


def test_a_chunk_does_not_read_the_empty_part_of_a_cache(operator: Operator[Any], hidden_size: int) -> None:
    x_BTD = random_input(20, hidden_size)
    state = state_for(operator, tokens=64)
    for tensor in getattr(getattr(state, "cache", None), "tensors", tuple)():
        if tensor.is_floating_point():
            tensor.fill_(float("nan"))
    with torch.no_grad():
        for chunk in x_BTD.split((5, 15), dim=1):
            assert operator(chunk, state=state, context=SequenceContext()).isfinite().all()


def test_states_keep_their_addresses(operator: Operator[Any], hidden_size: int) -> None:
    state = state_for(operator, tokens=32)
    before = [(tensor.data_ptr(), tensor.clone()) for tensor in state.tensors()]
    in_place = random_input(5, hidden_size)
    with torch.no_grad():
        operator(in_place[:, :4], state=state, context=SequenceContext())
        operator.step(in_place[:, 4], state)
    after = state.tensors()
    assert [tensor.data_ptr() for tensor in after] == [address for address, _ in before]
    assert all(not torch.equal(new, old) for new, (_, old) in zip(after, before, strict=True) if new.numel())


def test_a_reset_state_is_a_new_one(operator: Operator[Any], hidden_size: int) -> None:
    x_BTD = random_input(12, hidden_size)
    state = state_for(operator, tokens=12)
    with torch.no_grad():
        first = operator(x_BTD, state=state, context=SequenceContext())
        state.reset_()
        assert torch.equal(operator(x_BTD, state=state, context=SequenceContext()), first)


def test_the_same_call_gives_the_same_bits(operator: Operator[Any], spec: OperatorSpec, hidden_size: int) -> None:
    x_BTD = random_input(65, hidden_size)
    twin = build_operator(spec, hidden_size=hidden_size, norm_eps=NORM_EPS)
    assert torch.equal(operator(x_BTD, context=SequenceContext()), twin(x_BTD, context=SequenceContext()))


def test_autocast_to_bfloat16_stays_close_and_states_stay_wide(
    operator: Operator[Any], assert_close: CloseCheck, hidden_size: int
) -> None:
    x_BTD = random_input(65, hidden_size)
    exact = gradients(operator, x_BTD, SequenceContext())
    with torch.autocast("cpu", torch.bfloat16):
        narrow = gradients(operator, x_BTD, SequenceContext())
    assert narrow["output"].dtype == torch.bfloat16
    # Against exact numbers, with heads of a few channels: roundings average out less than anywhere.
    for name in ("output", "input"):
        assert_close(narrow[name], exact[name], within=2.5e-2, what=name)


def test_bfloat16_weights_run_forward_and_step_alike(
    operator: Operator[Any], assert_close: CloseCheck, hidden_size: int
) -> None:
    narrow = copy.deepcopy(operator).to(torch.bfloat16)
    x_BTD = random_input(33, hidden_size)
    exact = operator(x_BTD, context=SequenceContext())
    state = state_for(narrow, tokens=33, dtype=torch.bfloat16)
    with torch.no_grad():
        whole = narrow(x_BTD.bfloat16(), context=SequenceContext())
        steps = torch.stack([narrow.step(x_BTD[:, t].bfloat16(), state) for t in range(33)], dim=1)
    assert whole.dtype == steps.dtype == torch.bfloat16
    assert_close(whole, exact, dtype=torch.bfloat16)
    assert_close(steps, exact, dtype=torch.bfloat16)
    carried = getattr(getattr(state, "ssm", state), "carried", None)
    assert carried is None or carried.dtype == torch.float32


def test_a_step_runs_without_asking_the_device(spec: OperatorSpec, hidden_size: int) -> None:
    # A tensor on the meta device has no values: any host read raises.
    with torch.device("meta"):
        operator = build_operator(spec, hidden_size=hidden_size, norm_eps=NORM_EPS)
        state = operator.new_state(batch_size=BATCH, max_tokens=9, device="meta", dtype=torch.float32)
        assert operator.step(torch.empty(BATCH, hidden_size), state).shape == (BATCH, hidden_size)


def test_matrices_on_the_residual_stream_are_declared(operator: Operator[Any], hidden_size: int) -> None:
    reads, writes = operator.reads_residual(), operator.writes_residual()
    assert reads
    assert writes
    assert all(weight.shape[1] == hidden_size for weight in reads)
    assert all(weight.shape[0] == hidden_size for weight in writes)
    declared = {id(weight) for weight in (*reads, *writes)}
    touching = {
        id(parameter)
        for parameter in operator.parameters()
        if parameter.ndim == 2 and hidden_size in parameter.shape and parameter.shape[1] not in (3, 4)
    }
    assert touching <= declared | {id(p) for n, p in operator.named_parameters() if "mixer" in n or "conv" in n}


def test_a_backend_says_which_it_is_and_an_unknown_one_is_refused(spec: OperatorSpec, hidden_size: int) -> None:
    x_BTD = random_input(3, hidden_size)
    layer = build_operator(spec, hidden_size=hidden_size, norm_eps=NORM_EPS)
    for phase, offered in (("sequence", layer.sequence_backends), ("step", layer.step_backends)):
        assert set(layer.backend_at(phase, x_BTD).split("+")) <= set(offered)
        slow = build_operator(spec, hidden_size=hidden_size, norm_eps=NORM_EPS, backend="reference")
        assert slow.backend_at(phase, x_BTD) == "reference"
    with pytest.raises(RuntimeError, match=r"got 'quantum'.*reference"):
        build_operator(spec, hidden_size=hidden_size, norm_eps=NORM_EPS, backend="quantum")


def test_a_cache_that_is_full_refuses_more(operator: Operator[Any], spec: OperatorSpec, hidden_size: int) -> None:
    if isinstance(spec, FFNSpec) or not hasattr(operator, "heads"):
        return
    state = state_for(operator, tokens=8)
    with torch.no_grad():
        operator(random_input(8, hidden_size), state=state, context=SequenceContext())
        with pytest.raises(ValueError, match="max_tokens=8"):
            operator(random_input(1, hidden_size), state=state, context=SequenceContext())
        with pytest.raises(ValueError, match="max_tokens=8"):
            operator.step(random_input(1, hidden_size)[:, 0], state)


def test_steps_in_float64_are_those_of_the_sequence(
    spec: OperatorSpec, hidden_size: int, assert_close: CloseCheck
) -> None:
    operator = build_operator(spec, hidden_size=hidden_size, norm_eps=1e-6, backend="reference").double()
    x_BTD = torch.randn(2, 5, hidden_size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    state = operator.new_state(batch_size=2, max_tokens=5, device="cpu", dtype=torch.float64)
    stepped = torch.stack([operator.step(x_BD, state) for x_BD in x_BTD.unbind(1)], dim=1)
    # Recurrent states are float32 whatever the dtype.
    assert_close(stepped, operator(x_BTD, context=SequenceContext()), within=1e-5)


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_a_chunk_behind_a_state_can_be_trained(spec: OperatorSpec, hidden_size: int, backend: str) -> None:
    operator = build_operator(spec, hidden_size=hidden_size, norm_eps=1e-6, backend=backend)
    state = operator.new_state(batch_size=2, max_tokens=12, device="cpu", dtype=torch.float32)
    for start in (0, 6):
        x_BTD = torch.randn(2, 6, hidden_size, requires_grad=True)
        operator(x_BTD, state=state, context=SequenceContext(start=start)).square().sum().backward()
        assert x_BTD.grad is not None
        assert x_BTD.grad.isfinite().all()
