"""Mutants of media files through the doors that strangers' bytes go through.

`python -m tests.fuzzing --count 100000` tries many and saves what fails in tests/cases/. A mutant
is a pure function of its seed. They are tried in a child process, which says with which it begins:
so a crash, or one that takes longer than LIMIT_S, is known by its seed and the others go on.
"""

import argparse
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from functools import cache
from io import BytesIO
from itertools import islice
from pathlib import Path
from select import select

from PIL import Image

from pipeline import confined
from pipeline.errors import SourceError, StreamError
from pipeline.sources import SourceOptions, open_source
from pipeline.style import read_style
from tests import media

CASES = Path(__file__).parent / "cases"
LIMIT_S = 10.0
START_S = 120.0
SLOW = f"longer than {LIMIT_S:g} s"
MOST_FRAMES = 200
MARKS = (b"moov", b"trak", b"stsd", b"avcC", b"stts", b"stsz", b"mdat", b"\x1a\x45\xdf\xa3", b"G@")
MARKS += (b"IHDR", b"IDAT", b"\xff\xc0", b"\xff\xda", b"RIFF", b"VP8", b"\x2c\0", b"BM", b"II*\0")


@cache
def originals() -> list[tuple[str, bytes]]:
    """Suffix and bytes of each file that mutants are made of."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i, (suffix, about) in enumerate(
            (
                (".mp4", {"sound_at_s": 0.2, "rotation": 90}),
                (".mp4", {"codec": "libx265"}),
                (".mkv", {}),
                (".mkv", {"codec": "ffv1", "pix_fmt": "yuv420p10le"}),
                (".webm", {"codec": "libvpx-vp9"}),
                (".ts", {}),
                (".ts", {"codec": "mpeg2video", "sound_at_s": 0.0}),
                (".avi", {"codec": "mpeg4"}),
                (".mov", {"codec": "prores_ks", "pix_fmt": "yuv422p10le"}),
                (".flv", {}),
            )
        ):
            path = media.video(folder / f"{i}{suffix}", 8, (64, 48), **about)
            found.append((suffix, path.read_bytes()))
    picture = Image.fromarray(media.picture(3, 64, 48))
    for form, suffix in (
        ("PNG", ".png"), ("JPEG", ".jpg"), ("WEBP", ".webp"), ("BMP", ".bmp"), ("TIFF", ".tif"),
        ("PPM", ".ppm"), ("GIF", ".gif"),
    ):  # fmt: skip
        file = BytesIO()
        picture.save(file, form)
        found.append((suffix, file.getvalue()))
    return found


def mutant(seed: int) -> tuple[str, bytes]:
    """Suffix and bytes: one of the originals with one to three injuries."""
    chance = random.Random(seed)
    suffix, whole = chance.choice(originals())
    data = bytearray(whole)
    for _ in range(chance.randint(1, 3)):
        if data:
            chance.choice(INJURIES)(data, chance)
    return suffix, bytes(data)


def flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 8, 64))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def clear(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    count = min(chance.choice((4, 64, 1024)), len(data) - at)
    data[at : at + count] = bytes([chance.choice((0, 255))]) * count


def splice(data: bytearray, chance: random.Random) -> None:
    other = chance.choice(originals())[1]
    begin = chance.randrange(len(other))
    at = chance.randrange(len(data))
    piece = other[begin : begin + chance.choice((16, 256, 4096))]
    data[at : at + (0 if chance.random() < 0.5 else len(piece))] = piece


def head(data: bytearray, chance: random.Random) -> None:
    """Among the first bytes, where the formats say what follows."""
    for _ in range(chance.choice((1, 4))):
        data[chance.randrange(min(len(data), 96))] = chance.randrange(256)


def number(data: bytearray, chance: random.Random) -> None:
    """A size or a count near a name that such formats have, of an awkward value."""
    marks = [m for m in MARKS if m in data]
    at = data.index(chance.choice(marks)) if marks else chance.randrange(len(data))
    at = max(0, at + chance.randrange(-8, 48))
    value = chance.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, 12000))
    data[at : at + 4] = struct.pack(chance.choice((">I", "<I")), value)[: max(0, len(data) - at)]


def drop(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    del data[at : at + chance.choice((1, 16, 512))]


INJURIES: tuple[Callable[[bytearray, random.Random], None], ...]
INJURIES = (flip, cut, clear, splice, head, number, drop)


def attempt(path: Path) -> None:
    """Read it as a source, and as a style if it may be one: frames, or an error of ours."""
    for options in (SourceOptions(), SourceOptions(size=32, fps=Fraction(10), start_s=0.1)):
        with suppress(SourceError), open_source(str(path), options) as source:
            for _ in islice(source.frames(), MOST_FRAMES):
                pass
    if path.suffix in (".png", ".jpg", ".webp", ".bmp", ".tif", ".gif"):
        with suppress(StreamError):
            read_style(str(path))


def tried(seeds: Iterable[int]) -> Iterator[tuple[int, str]]:
    """Seed and what was wrong, for each mutant that fails."""
    left = list(seeds)
    while left and (failure := first_failure(left)):
        seed, why = failure
        left = left[left.index(seed) + 1 :]
        # A busy machine stalls anything now and then: what hangs does so again, alone.
        if why is not SLOW or first_failure([seed]):
            yield seed, why


def first_failure(seeds: list[int]) -> tuple[int, str] | None:
    """The first of these mutants at which a child ends or hangs, and how."""
    command = [sys.executable, "-m", "tests.fuzzing", "--child"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=CASES.parents[1], text=True, **pipes) as child:
        try:
            child.stdin.write(" ".join(map(str, seeds)) + "\n")
            child.stdin.flush()
            begun, limit_s = None, START_S
            while select([child.stdout], [], [], limit_s)[0]:
                word = child.stdout.readline().strip()
                if word == "done":
                    return None
                if not word:
                    said = child.stderr.read().strip().splitlines()[-1:]
                    assert begun is not None, f"the child does not start: {said}"
                    return begun, f"exit code {child.wait()}: {said}"
                begun, limit_s = int(word), LIMIT_S
            assert begun is not None, "the child does not start"
            return begun, SLOW
        finally:
            child.kill()


def child() -> None:
    """Tries the mutants that it is told, and ends at the first that raises what it must not."""
    confined.confine()
    seeds = [int(word) for word in sys.stdin.readline().split()]
    originals()
    with tempfile.TemporaryDirectory() as name:
        for seed in seeds:
            suffix, data = mutant(seed)
            print(seed, flush=True)
            if os.environ.get("FUZZ_CRASH_AT") == str(seed):  # what a test of this file asks for
                os.kill(os.getpid(), signal.SIGSEGV)
            path = Path(name) / f"mutant{suffix}"
            path.write_bytes(data)
            attempt(path)
    print("done", flush=True)


def main() -> int:
    """Try, save what fails -> 1 if anything did."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child()
        return 0
    failed = 0
    for begin in range(given.first, given.first + given.count, 1000):
        for seed, why in tried(range(begin, min(begin + 1000, given.first + given.count))):
            suffix, data = mutant(seed)
            path = CASES / f"mutant_{seed}{suffix}"
            path.write_bytes(data)
            print(f"{path.name}: {why}", flush=True)
            failed += 1
        print(f"{begin + 1000 - given.first} tried, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
