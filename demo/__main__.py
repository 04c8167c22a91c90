"""`python -m demo [-o FOLDER] [--style NAME ...]`: make the clip and paint it."""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from demo.clip import make_clip

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_STYLE = "wave"
SHOWN_FRAME = 62


def _arguments() -> argparse.Namespace:
    known = sorted(path.stem for path in (ROOT / "styles").glob("*.jpg"))
    parser = argparse.ArgumentParser(prog="python -m demo", description="Make a clip, paint it.")
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "out", metavar="FOLDER",
                        help="where everything is written (default: out/)")  # fmt: skip
    parser.add_argument("--style", nargs="+", default=[DEFAULT_STYLE], choices=known,
                        metavar="NAME", help=f"one or more of: {', '.join(known)}")  # fmt: skip
    return parser.parse_args()


def _shown(path: Path) -> str:
    """The path as a user at the repository root would type it."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def _pictures(path: Path) -> Iterator[npt.NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def side_by_side(original: Path, painted: Path, target: Path, index: int = SHOWN_FRAME) -> None:
    """Write frame `index` of both videos next to each other as a PNG."""
    left, right = (next(islice(_pictures(path), index, None)) for path in (original, painted))
    if right.shape != left.shape:
        right = np.asarray(cv2.resize(right, left.shape[1::-1], interpolation=cv2.INTER_AREA))
    if not cv2.imwrite(str(target), np.hstack([left, right])[..., ::-1]):
        raise OSError(f"could not write {target}")


def paint(clip: Path, style: str) -> int:
    """Paint the clip with run_stream.py in one style; the command's exit code."""
    painted = clip.with_name(f"demo_{style}.mp4")
    command = ["run_stream.py", _shown(clip), "--style", f"styles/{style}.jpg",
               "-o", _shown(painted), "--overwrite"]  # fmt: skip
    print("Painting it:  python " + " ".join(command), flush=True)
    code = subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode
    if code:
        print(f"run_stream.py stopped with exit code {code}; no painting was made.")
        return code
    pair = painted.with_suffix(".png")
    side_by_side(clip, painted, pair)
    print(f"The painting is {_shown(painted)}")
    print(f"One frame before and after is {_shown(pair)}")
    return 0


def main() -> int:
    """Make the clip, paint it in every style asked for, stop at the first failure."""
    arguments = _arguments()
    clip = arguments.out.resolve() / "demo.mp4"
    print("Making a six-second clip from four free photographs ...", flush=True)
    try:
        make_clip(clip)
    except OSError as error:
        sys.exit(f"error: {clip} cannot be written: {error.strerror}")
    print(f"The clip is {_shown(clip)}")
    for style in arguments.style:
        code = paint(clip, style)
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
