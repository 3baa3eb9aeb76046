"""The channel mixer."""
