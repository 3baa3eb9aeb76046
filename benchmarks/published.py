"""Published speeds of decoding on one H100 with TensorRT-LLM and CUDA graphs, by reference name [NF]."""

from typing import Final

SECONDS_FOR_8K: Final = {
    "nemotron-flash-1b": 14.45,
    "llama-3.2-1b": 21.44,
    "qwen2.5-0.5b": 22.81,
    "qwen3-0.6b": 27.55,
    "nemotron-flash-3b": 28.71,
    "smollm2-1.7b": 31.11,
    "qwen2.5-1.5b": 34.50,
    "qwen3-1.7b": 36.20,
    "llama-3.2-3b": 45.47,
    "qwen2.5-3b": 49.40,
}
"""Seconds for 8k tokens at batch 1."""

TOKENS_A_SECOND_AFTER_32K: Final = {
    "nemotron-flash-1b": 7289,
    "nemotron-flash-3b": 2939,
    "qwen2.5-0.5b": 2382,
    "llama-3.2-1b": 932,
    "qwen2.5-1.5b": 687,
    "qwen2.5-3b": 459,
    "llama-3.2-3b": 173,
    "qwen3-0.6b": 160,
    "qwen3-1.7b": 157,
    "smollm2-1.7b": 151,
}
"""At the largest batch behind a prompt of 32k tokens."""
