"""Tokens of one architecture with drawn weights: they mean nothing, their speed is the decoder's."""

from collections.abc import Iterator

import numpy as np
import torch

from latency.copies import TORCH_DTYPES
from latency.device_probe import current_fingerprint
from latency.runtime import Decoder, Sampling
from latency.whole_model import random_model
from latency.workload import Dtype
from search_spaces import Architecture


def stream_random(
    architecture: Architecture,
    prompt: np.ndarray,
    *,
    num_tokens: int,
    sampling: tuple[float, int | None, int],
    dtype: Dtype,
    device: str,
) -> Iterator[int]:
    """Build the model and return the `num_tokens` tokens that follow a prompt, each as soon as it is there.

    Args:
        architecture: what to build.
        prompt: token numbers [T].
        num_tokens: how many to generate.
        sampling: temperature, how many tokens to choose among (none: all), and the seed of the choice.
        dtype: of weights and states, such as `bfloat16`.
        device: `cpu` or `cuda`.

    Raises:
        UnavailableError: there is no such device.
        SpecError: a temperature or a number of tokens that means nothing.
    """
    temperature, top_k, seed = sampling
    choice = Sampling(temperature=temperature, top_k=top_k, seed=seed)
    current_fingerprint(device, num_threads=torch.get_num_threads())  # raises where there is no such device
    model = random_model(architecture, dtype=TORCH_DTYPES[dtype], device=device)
    decoder = Decoder(model, batch_size=1, max_tokens=len(prompt) + num_tokens, sampling=choice)
    prompt_BT = torch.from_numpy(prompt.astype(np.int64))[None].to(device)
    return (int(token_B[0]) for token_B in decoder.stream(prompt_BT, num_tokens=num_tokens))
