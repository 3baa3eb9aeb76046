"""Measure operator latencies on a device, tabulate them, and predict whole models from the table.

Only `measure.py` and what it uses need torch; tables and predictions do not.
"""
