"""What a winner is trained to lower: the loss of the next token, with z-loss and a teacher's word where asked for.

A module, so that processes can exchange gradients around it.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from operators.model import HybridLM
from proxies.packing import document_ids

LOGITS_AT_ONCE: Final = 2**28
"""Beyond so many, 1 GiB in float32, logits are made and differentiated in pieces of the sequence."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Teacher:
    """A larger model whose predictions are learnt beside the text [arXiv 1503.02531]; every process holds all of it."""

    model: HybridLM
    weight: float
    temperature: float
    top_k: int | None

    def stream(self, tokens_BT: Tensor, *, document_ids_BT: Tensor | None) -> Tensor:
        """Return the teacher's residual stream."""
        with torch.no_grad():
            return self.model.stream(tokens_BT, document_ids_BT=document_ids_BT)

    def divergence(self, logits_NV: Tensor, teacher_ND: Tensor) -> Tensor:
        """Return the sum over tokens of KL(teacher ‖ model), both at the temperature, times its square.

        Of the teacher's `top_k` tokens alone its probabilities add up to 1; the model's are over all, so that what it
        gives to others counts against it.
        """
        with torch.no_grad():
            teacher_NV = self.model.logits(teacher_ND).float() / self.temperature
            if self.top_k is None:
                log_teacher = F.log_softmax(teacher_NV, dim=-1)
            else:
                largest, places = teacher_NV.topk(min(self.top_k, teacher_NV.shape[-1]), dim=-1)
                log_teacher = F.log_softmax(largest, dim=-1)
        log_model = F.log_softmax(logits_NV / self.temperature, dim=-1)
        if self.top_k is not None:
            log_model = log_model.gather(-1, places)
        return F.kl_div(log_model, log_teacher, reduction="sum", log_target=True) * self.temperature**2


class TrainingLoss(nn.Module):
    """Takes tokens [B, T + 1]; gives the mean loss that is lowered, and that of the text alone, in nats a token."""

    def __init__(
        self,
        model: HybridLM,
        *,
        z_loss: float = 0.0,
        teacher: Teacher | None = None,
        end_of_document: int | None = None,
    ) -> None:
        """Take a model and what it is to lower.

        Args:
            model: is trained.
            z_loss: weight of the squared log of the softmax's normaliser.
            teacher: is followed; none: only the text is.
            end_of_document: after this token the model forgets; none: it reads over it.
        """
        super().__init__()
        self.model = model
        self.end_of_document = end_of_document
        self.z_loss = z_loss
        # A dataclass: the teacher's parameters are not this module's.
        self.teacher = teacher

    def forward(self, tokens_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return both losses; the second carries no gradient."""
        inputs_BT, targets_BT = tokens_BT[:, :-1], tokens_BT[:, 1:]
        ids_BT = None if self.end_of_document is None else document_ids(inputs_BT, self.end_of_document)
        teacher_BTD = None if self.teacher is None else self.teacher.stream(inputs_BT, document_ids_BT=ids_BT)
        num_logits = targets_BT.numel() * self.model.architecture.vocab_size
        num_pieces = min(targets_BT.shape[1], -(-num_logits // LOGITS_AT_ONCE))
        if num_pieces == 1:
            total, text = self._sums(self.model(inputs_BT, document_ids_BT=ids_BT), targets_BT, teacher_BTD)
        else:
            stream_BTD = self.model.stream(inputs_BT, document_ids_BT=ids_BT)
            total, text = self._in_pieces(stream_BTD, targets_BT, teacher_BTD, num_pieces)
        return total / targets_BT.numel(), text.detach() / targets_BT.numel()

    def _in_pieces(
        self, stream_BTD: Tensor, targets_BT: Tensor, teacher_BTD: Tensor | None, num_pieces: int
    ) -> tuple[Tensor, Tensor]:
        total = text = torch.zeros((), device=stream_BTD.device)
        teachers = [None] * num_pieces if teacher_BTD is None else teacher_BTD.tensor_split(num_pieces, dim=1)
        pieces = (stream_BTD.tensor_split(num_pieces, dim=1), targets_BT.tensor_split(num_pieces, dim=1), teachers)
        for stream_BCD, targets_BC, teacher_BCD in zip(*pieces, strict=True):
            # Its logits are computed once more on the way back, and only its.
            of_piece, text_of_piece = checkpoint(
                self._sums_of_piece, stream_BCD, targets_BC, teacher_BCD, use_reentrant=False, preserve_rng_state=False
            )
            total, text = total + of_piece, text + text_of_piece.detach()
        return total, text

    def _sums_of_piece(
        self, stream_BCD: Tensor, targets_BC: Tensor, teacher_BCD: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        return self._sums(self.model.logits(stream_BCD), targets_BC, teacher_BCD)

    def _sums(self, logits_BTV: Tensor, targets_BT: Tensor, teacher_BTD: Tensor | None) -> tuple[Tensor, Tensor]:
        logits_NV = logits_BTV.flatten(0, 1).float()
        text = F.cross_entropy(logits_NV, targets_BT.flatten(), reduction="sum")
        total = text
        if self.teacher is not None and teacher_BTD is not None:
            taught = self.teacher.divergence(logits_NV, teacher_BTD.flatten(0, 1))
            total = (1 - self.teacher.weight) * text + self.teacher.weight * taught
        if self.z_loss:
            total = total + self.z_loss * logits_NV.logsumexp(dim=-1).square().sum()
        return total, text
