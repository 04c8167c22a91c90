"""Trains models: data, losses, the loop. `python -m training`, `python -m training.distill`."""
