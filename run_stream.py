#!/usr/bin/env python
"""Turn a video into a moving painting: python run_stream.py INPUT --style PICTURE [-o OUTPUT]"""

import sys

from pipeline import confined

if __name__ == "__main__":  # child processes import this file too
    confined.begin()
    from pipeline.title import hide_secrets

    hide_secrets()
    from pipeline.cli import main

    sys.exit(main(sys.argv[1:]))
