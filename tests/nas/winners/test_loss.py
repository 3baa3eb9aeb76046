import pytest
import torch
from torch.nn import functional as F

from nas.winners import loss as loss_module
from nas.winners.loss import Teacher, TrainingLoss
from operators.model import HybridLM
from proxies.training import next_token_loss
from search_spaces import architecture_from_pattern


@pytest.fixture
def model():
    return HybridLM(architecture_from_pattern("a f", hidden_size=64, vocab_size=50), seed=1)


@pytest.fixture
def teacher():
    return HybridLM(architecture_from_pattern("a f d", hidden_size=64, vocab_size=50), seed=2)


@pytest.fixture(name="tokens_BT")
def make_tokens():
    return torch.randint(0, 50, (3, 12), generator=torch.Generator().manual_seed(0))


def test_the_loss_of_the_text_is_that_of_short_training(model, tokens_BT):
    total, text = TrainingLoss(model)(tokens_BT)
    torch.testing.assert_close(total, next_token_loss(model, tokens_BT))
    torch.testing.assert_close(text, total)
    assert not text.requires_grad


def test_z_loss_is_the_squared_log_of_the_normaliser(model, tokens_BT):
    total, text = TrainingLoss(model, z_loss=0.1)(tokens_BT)
    logits = model(tokens_BT[:, :-1])
    torch.testing.assert_close(total - text, 0.1 * logits.exp().sum(-1).log().square().mean())


@pytest.mark.parametrize("top_k", [None, 7])
def test_in_pieces_loss_and_gradients_are_the_same(model, teacher, tokens_BT, top_k, monkeypatch):
    taught = Teacher(model=teacher, weight=0.3, temperature=2.0, top_k=top_k)
    loss = TrainingLoss(model, z_loss=1e-2, teacher=taught)

    def gradients():
        model.zero_grad()
        total, text = loss(tokens_BT)
        total.backward()
        return total.detach(), text, [parameter.grad.clone() for parameter in model.parameters() if parameter.numel()]

    whole = gradients()
    monkeypatch.setattr(loss_module, "LOGITS_AT_ONCE", 400)
    torch.testing.assert_close(gradients(), whole)


@pytest.mark.parametrize("top_k", [None, 7, 50, 80])
def test_a_teacher_is_followed_in_divergence(model, teacher, tokens_BT, top_k):
    taught = Teacher(model=teacher, weight=1.0, temperature=2.0, top_k=top_k)
    total, _ = TrainingLoss(model, teacher=taught)(tokens_BT)
    wanted = (teacher(tokens_BT[:, :-1]) / 2).softmax(-1)
    if top_k is not None:
        least = wanted.topk(min(top_k, 50)).values[..., -1:]
        wanted = torch.where(wanted >= least, wanted, 0.0)
        wanted = wanted / wanted.sum(-1, keepdim=True)
    found = F.log_softmax(model(tokens_BT[:, :-1]) / 2, dim=-1)
    expected = 4 * torch.where(wanted > 0, wanted * (wanted.clamp(min=1e-30).log() - found), 0.0).sum(-1).mean()
    torch.testing.assert_close(total, expected)
    total.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_model_that_is_its_teacher_has_nothing_to_learn_from_it(model, tokens_BT):
    taught = Teacher(model=model, weight=1.0, temperature=1.0, top_k=None)
    total, _ = TrainingLoss(model, teacher=taught)(tokens_BT)
    assert total.item() == pytest.approx(0, abs=1e-5)


def test_the_teacher_is_not_trained(model, teacher):
    loss = TrainingLoss(model, teacher=Teacher(model=teacher, weight=0.5, temperature=1.0, top_k=None))
    assert {name for name, _ in loss.named_parameters()} == {f"model.{name}" for name, _ in model.named_parameters()}
