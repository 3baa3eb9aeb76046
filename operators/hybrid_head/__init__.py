"""Attention and a state space in parallel on one input."""
