"""The decoder of the compression task: names every token of a sequence from the model's output at the last one."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from operators.initialization import generator_from
from operators.model import HybridLM
from operators.norms import RMSNorm

_SMALL = 0.02
"""Standard deviation of the decoder's weights at the start."""


class LastTokenDecoder(nn.Module):
    """A model with a small MLP behind it, as MAD's autoencoder [arXiv 2403.17844, 3.1].

    The stream at the last token, plus the sine and cosine of a position, goes through two layers of the model's width.
    The model's own norm and head are left out.
    """

    def __init__(self, model: HybridLM, *, num_tokens: int, seed: int) -> None:
        super().__init__()
        width, eps = model.architecture.hidden_size, model.architecture.norm_eps
        self.model = model
        self.input_norm, self.hidden_norm, self.output_norm = (RMSNorm(width, eps=eps) for _ in range(3))
        self.hidden, self.output = nn.Linear(width, width), nn.Linear(width, width)
        self.head = nn.Linear(width, model.architecture.vocab_size)
        generator = generator_from(seed)
        for linear in (self.hidden, self.output, self.head):
            nn.init.normal_(linear.weight, std=_SMALL, generator=generator)
            nn.init.zeros_(linear.bias)
        for parameter in (model.norm.weight, model.head):
            if parameter is not None:
                parameter.requires_grad_(False)
        self.positions_TD: Tensor
        self.register_buffer("positions_TD", sinusoids(num_tokens, width), persistent=False)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Return the logits [B, T, V] of the token at every position."""
        last_BD = self.model.stream(tokens_BT)[:, -1]
        x_BTD = last_BD[:, None] + self.positions_TD
        x_BTD = functional.gelu(self.hidden(self.input_norm(x_BTD)))
        x_BTD = functional.gelu(self.output(self.hidden_norm(x_BTD)))
        logits_BTV: Tensor = self.head(self.output_norm(x_BTD))
        return logits_BTV


def sinusoids(num_tokens: int, width: int) -> Tensor:
    """Return sines, then cosines, of positions at wavelengths from 2π to 10,000·2π [arXiv 1706.03762, 3.5]."""
    half = -(-width // 2)
    frequencies_F = 10_000 ** -(torch.arange(half) / max(1, half - 1))
    angles_TF = torch.arange(num_tokens)[:, None] * frequencies_F
    return torch.cat((angles_TF.sin(), angles_TF.cos()), dim=1)[:, :width]
