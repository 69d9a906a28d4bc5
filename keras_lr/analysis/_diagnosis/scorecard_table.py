"""Knots and points of the scorecards, written by `python benchmarks/diagnosis.py --fit`."""

KNOTS: dict = {}
POINTS: dict = {}
INTERCEPTS: dict = {}
