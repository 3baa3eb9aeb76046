"""Plotly figures: each a function of results, and of what a reader chose to see. No layout of pages."""
