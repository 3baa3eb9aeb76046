"""The torch modules of a hybrid language model, and what they cost.

Nothing is imported here: `operators.cost` needs no torch and must stay reachable without it. Import what you need, as
in `from operators.model import HybridLM`.
"""
