"""Strategies, each one short file composed from selection, variation and survival."""
