"""State-space duality with one decay per head."""
