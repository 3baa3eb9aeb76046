"""The model restated in plain torch for transformers, merged into one file at export."""
