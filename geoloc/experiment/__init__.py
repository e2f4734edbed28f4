"""Experiments: configurations, run folders, and the wiring of the rooms below."""
