"""The live page: what a stream looks like now, and how to change it."""
