#!/usr/bin/env python
"""Turn a video into a moving painting: python run_stream.py INPUT --style PICTURE [-o OUTPUT]"""

import sys

from pipeline.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
