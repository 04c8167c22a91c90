"""Judges models: how much style arrives, how much content stays. `python -m evaluation`."""
