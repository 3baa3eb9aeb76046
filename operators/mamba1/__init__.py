"""The selective state space with one step size per channel."""
