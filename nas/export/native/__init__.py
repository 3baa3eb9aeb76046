"""Formats of other engines: our weights renamed, reordered and folded into architectures that they know."""
