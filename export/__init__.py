"""Models as files for other programs: `python -m export`."""
