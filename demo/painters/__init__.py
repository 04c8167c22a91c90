"""Procedural paintings: one module a style, each with `draw(size, seed)`."""
