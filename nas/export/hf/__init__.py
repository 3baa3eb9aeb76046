"""A folder of Hugging Face's that brings its own code, in which every architecture of ours but fla's layers fits."""
