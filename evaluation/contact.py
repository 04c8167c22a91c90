"""python -m evaluation.contact [-o docs/contact_sheet.jpg]: photographs down, styles across.

The photographs ship inside scikit-image and are used in no training.
"""

import argparse
import sys
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from engines import StillEngine, load_engine
from pipeline.errors import StreamError
from pipeline.sinks import check_folder
from pipeline.style import read_style

ROOT = Path(__file__).parents[1]
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "motorcycle")
STYLES = ("wave", "impasto", "ink", "mosaic", "stained_glass", "pointillism")
SIDE_PX = 384
GAP_PX = 6
SHOWN = 0.75
LABEL_PX = 130
FONT = (cv2.FONT_HERSHEY_SIMPLEX, 0.6)

Picture = NDArray[np.uint8]


def photograph(name: str, side: int = SIDE_PX) -> Picture:
    """A photograph of scikit-image, square, `side` px a side."""
    loaded = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
    return square(np.asarray(loaded, np.uint8), side)


def square(picture: Picture, side: int = SIDE_PX) -> Picture:
    """The middle of a picture, `side` px a side."""
    h, w = picture.shape[:2]
    n = min(h, w)
    middle = picture[(h - n) // 2 :, (w - n) // 2 :][:n, :n]
    how = cv2.INTER_AREA if n > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(middle, (side, side), interpolation=how), np.uint8)


def style(name: str) -> Picture:
    """One of the pictures in styles/."""
    return np.asarray(read_style(str(ROOT / "styles" / f"{name}.jpg")).look, np.uint8)


def contact_sheet(model: str) -> Picture:
    """Every photograph in every style; the styles on top, the photographs at the left."""
    engine = load_engine(model, "auto")
    styles = [style(name) for name in STYLES]
    codes = [engine.encode_style(picture) for picture in styles]
    white = np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8)
    rows = [[white, *map(square, styles)]]
    for name in PHOTOGRAPHS:
        photo = photograph(name)
        painted = [engine(photo[None], code, 1.0, False)[0] for code in codes]
        rows.append([photo, *painted])
    return laid_out(rows)


def side_by_side(models: dict[str, str], side: int) -> Picture:
    """Every photograph in one style, by every model (name shown: name): a row for each, below the
    photographs and the styles."""
    photos, styles = [photograph(name, side) for name in PHOTOGRAPHS], [style(n) for n in STYLES]
    rows = [[label("photograph", side), *photos]]
    rows += [[label("style", side), *(square(picture, side) for picture in styles)]]
    for shown, model in models.items():
        engine = load_engine(model, "auto")
        alone = getattr(engine, "paints_stills", False)
        paint = cast(StillEngine, engine).still if alone else engine
        painted = [
            paint(photo[None], engine.encode_style(picture), 1.0, False)[0]
            for photo, picture in zip(photos, styles, strict=True)
        ]
        rows.append([label(shown, side), *painted])
    return laid_out(rows)


def label(text: str, height: int) -> Picture:
    """A name in black on white, to stand beside a row."""
    ((width, _), _) = cv2.getTextSize(text, *FONT, 1)
    picture = np.full((height, LABEL_PX, 3), 255, np.uint8)
    at = max(0, LABEL_PX - GAP_PX - width), height // 2
    return np.asarray(cv2.putText(picture, text, at, *FONT, (0, 0, 0), 1, cv2.LINE_AA), np.uint8)


def laid_out(rows: list[list[Picture]]) -> Picture:
    """Pictures beside and above one another, with gaps."""
    gaps = (0, GAP_PX), (0, GAP_PX), (0, 0)
    tiles = [[np.pad(picture, gaps, constant_values=255) for picture in row] for row in rows]
    return np.vstack([np.hstack(row) for row in tiles])


def write(sheet: Picture, path: Path) -> None:
    """As JPEG; OSError when it cannot be written."""
    small = cv2.resize(sheet, None, fx=SHOWN, fy=SHOWN, interpolation=cv2.INTER_AREA)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 84]
    if not cv2.imwrite(str(path), cv2.cvtColor(small, cv2.COLOR_RGB2BGR), quality):
        raise OSError(f"cannot write {path}")


def main() -> int:
    """Write the sheet."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.contact", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "contact_sheet.jpg")
    parser.add_argument("--model", default="compact")
    arguments = parser.parse_args()
    try:
        check_folder(arguments.output.parent)
        write(contact_sheet(arguments.model), arguments.output)
    except (ValueError, OSError, StreamError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
