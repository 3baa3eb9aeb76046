"""What is worked out of a frame of results, without drawing it."""
