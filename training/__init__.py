"""Trains models: data, losses, the loop. `python -m training`."""
