"""Models as files for other programs: `python -m export`."""

import engines  # noqa: F401  first: it keeps runtimes from calling their makers
