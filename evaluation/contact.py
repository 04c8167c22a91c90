"""python -m evaluation.contact [-o docs/contact_sheet.jpg]: photographs down, styles across.

The photographs ship inside scikit-image and are used in no training.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from engines import load_engine
from pipeline.style import read_style

ROOT = Path(__file__).parents[1]
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "motorcycle")
STYLES = ("wave", "impasto", "ink", "mosaic", "stained_glass", "pointillism")
SIDE_PX = 384
GAP_PX = 6
SHOWN = 0.75

Picture = NDArray[np.uint8]


def photograph(name: str) -> Picture:
    """A photograph of scikit-image, square, SIDE_PX a side."""
    loaded = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
    return square(np.asarray(loaded, np.uint8))


def square(picture: Picture) -> Picture:
    """The middle of a picture, SIDE_PX a side."""
    h, w = picture.shape[:2]
    n = min(h, w)
    middle = picture[(h - n) // 2 :, (w - n) // 2 :][:n, :n]
    how = cv2.INTER_AREA if n > SIDE_PX else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(middle, (SIDE_PX, SIDE_PX), interpolation=how), np.uint8)


def contact_sheet(model: str) -> Picture:
    """Every photograph in every style; the styles on top, the photographs at the left."""
    engine = load_engine(model, "auto")
    styles = [read_style(str(ROOT / "styles" / f"{name}.jpg")).look for name in STYLES]
    codes = [engine.encode_style(style) for style in styles]
    white = np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8)
    rows = [[white, *map(square, styles)]]
    for name in PHOTOGRAPHS:
        photo = photograph(name)
        painted = [engine(photo[None], code, 1.0, False)[0] for code in codes]
        rows.append([photo, *painted])
    tiles = [
        [np.pad(t, ((0, GAP_PX), (0, GAP_PX), (0, 0)), constant_values=255) for t in row]
        for row in rows
    ]
    return np.vstack([np.hstack(row) for row in tiles])


def main() -> int:
    """Write the sheet."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.contact", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "contact_sheet.jpg")
    parser.add_argument("--model", default="compact")
    arguments = parser.parse_args()
    sheet = cv2.cvtColor(contact_sheet(arguments.model), cv2.COLOR_RGB2BGR)
    sheet = cv2.resize(sheet, None, fx=SHOWN, fy=SHOWN, interpolation=cv2.INTER_AREA)
    if not cv2.imwrite(str(arguments.output), sheet, [cv2.IMWRITE_JPEG_QUALITY, 84]):
        print(f"error: cannot write {arguments.output}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
