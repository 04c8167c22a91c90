"""The process that shows frames in a window. It says `connected`, and `closed` when it was."""

import json
import sys
from typing import BinaryIO

import cv2

from pipeline.sinks._relay import pictures_of

TITLE = "stylestream"
ENDS = (ord("q"), 27)


def main(frames: BinaryIO) -> int:
    """Show until the end of `frames`, or until somebody closes it -> exit code."""
    about = json.loads(frames.readline())
    cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
    size = about["shown"], about["height"]  # of a film whose pixels are no squares
    cv2.resizeWindow(TITLE, *size)
    print("connected", flush=True)
    for pixels in pictures_of(frames, about["width"], about["height"]):
        square = pixels if size[0] == about["width"] else cv2.resize(pixels, size)
        cv2.imshow(TITLE, cv2.cvtColor(square, cv2.COLOR_RGB2BGR))
        if cv2.waitKey(1) in ENDS or cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
            print("closed", flush=True)
            cv2.destroyAllWindows()
            for _ in pictures_of(frames, about["width"], about["height"]):
                pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.stdin.buffer))
