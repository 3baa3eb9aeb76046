"""Winners leave the run: one file a format."""
