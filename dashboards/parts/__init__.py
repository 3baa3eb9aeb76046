"""Pieces of pages that views are made of: the head, tables, strips."""
