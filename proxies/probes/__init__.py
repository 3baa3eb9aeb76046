"""Tasks of recall and reasoning that perplexity hardly sees, each learnt from scratch by a small training run."""
