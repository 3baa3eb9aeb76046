"""Linear attention with the delta rule."""
