"""`python -m demo.painters [FOLDER]`: draw every style picture as FOLDER/NAME.jpg."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

import cv2

from demo.painters.noise import Picture

SIZE_PX = 640
SEED = 7
STYLES = (
    "autumn",
    "cubist",
    "impasto",
    "ink",
    "molten",
    "mosaic",
    "pointillism",
    "stained_glass",
    "watercolour",
    "wave",
)


def save(picture: Picture, path: Path) -> None:
    """Write uint8 RGB as JPEG at quality 90."""
    if not cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90]):
        raise OSError(f"could not write {path}")


def main() -> None:
    """Draw all styles into the folder given, `styles/` beside this package by default."""
    parser = argparse.ArgumentParser(prog="python -m demo.painters", description=main.__doc__)
    home = Path(__file__).parents[2] / "styles"
    parser.add_argument("folder", nargs="?", type=Path, default=home)
    folder: Path = parser.parse_args().folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in STYLES:
            path = folder / f"{name}.jpg"
            save(import_module(f"demo.painters.{name}").draw(SIZE_PX, SEED), path)
            print(f"{path}  {path.stat().st_size // 1000} KB")
    except OSError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
