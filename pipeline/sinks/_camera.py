"""The process that feeds a virtual camera. It says `connected`, or why it is not."""

import json
import sys
from typing import BinaryIO

import pyvirtualcam

from pipeline.sinks._relay import pictures_of


def main(frames: BinaryIO) -> int:
    """Feed until the end of `frames` -> exit code."""
    about = json.loads(frames.readline())
    width, height = about["width"], about["height"]
    try:
        with pyvirtualcam.Camera(width, height, about["rate"], device=about["device"]) as camera:
            print("connected", flush=True)
            for pixels in pictures_of(frames, width, height):
                camera.send(pixels)
    except (RuntimeError, ValueError, OSError) as error:
        print(f"the virtual camera ended: {str(error).splitlines()[0]}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.stdin.buffer))
