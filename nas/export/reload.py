"""Run by itself in a fresh process: transformers reads a folder and says its logits. Imports nothing of ours.

Called with the folder, a file of tokens [B, T] and the file to write logits to, both safetensors.
"""

import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging


def main(folder: str, tokens_file: str, logits_file: str) -> None:
    """Write the logits of the model in `folder` in float32."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(load_file(tokens_file)["tokens"], use_cache=False).logits
    save_file({"logits": logits.float().contiguous()}, logits_file)


if __name__ == "__main__":
    main(*sys.argv[1:])
