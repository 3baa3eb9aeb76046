"""Cheap stand-ins for final quality: text, a training loop, short training. Nothing here knows latency or a study."""
