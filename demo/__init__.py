"""The demonstration: a synthesised clip, the style pictures, and one command to paint it."""
