"""Small files that claim to be huge, and what it costs to refuse them: `python tests/bombs.py
FOLDER` opens all files of a folder in one process and prints what came of each as JSON."""

import json
import struct
import sys
import time
import zlib
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from PIL import Image

from pipeline.errors import StreamError
from pipeline.sources import open_source
from pipeline.style import read_style

SIDE = 12_000


def make(folder: Path) -> None:
    """One of each kind."""
    (folder / "rows.png").write_bytes(png(SIDE, SIDE))
    (folder / "deep.png").write_bytes(png(7000, 7000, depth=16, color=6))
    (folder / "long.png").write_bytes(png(400_000, 400))
    jpeg = encoded("JPEG")
    for name, data in {
        "plain.jpg": jpeg,
        "progressive.jpg": encoded("JPEG", progressive=True),
    }.items():
        at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        (folder / name).write_bytes(
            data[: at + 5] + struct.pack(">HH", SIDE, SIDE) + data[at + 9 :]
        )
    bmp = encoded("BMP")
    (folder / "flat.bmp").write_bytes(bmp[:18] + struct.pack("<ii", 30_000, 30_000) + bmp[26:])
    gif = encoded("GIF")
    large = struct.pack("<HH", 65_000, 65_000)
    at = gif.index(b"\x2c\0\0\0\0")
    (folder / "screen.gif").write_bytes(gif[:6] + large + gif[10 : at + 5] + large + gif[at + 9 :])
    (folder / "plain.ppm").write_bytes(b"P6 30000 30000 255\n" + bytes(3000))
    Image.new("RGB", (9000, 5000)).save(folder / "strips.tif", compression="tiff_lzw")
    Image.new("RGB", (7000, 6000)).save(folder / "even.webp", lossless=True)
    (folder / "raw.y4m").write_bytes(b"YUV4MPEG2 W30000 H30000 F25:1 C420\nFRAME\n" + bytes(9000))
    grows(folder / "grows.mov")


def encoded(form: str, **options: object) -> bytes:
    """A small picture as a file."""
    file = BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(file, form, **options)
    return file.getvalue()


def png(width: int, height: int, depth: int = 8, color: int = 2) -> bytes:
    """All rows of a black picture, in a few hundred kilobytes."""
    row = width * {2: 3, 6: 4}[color] * depth // 8 + 1
    count = max(1, min(height, (4 << 20) // row))
    piece = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = piece.compress(bytes(row * count)) + piece.flush(zlib.Z_FULL_FLUSH)
    data = b"\x78\xda" + block * (height // count + 1) + b"\x03\0" + bytes(4)
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


def grows(path: Path) -> None:
    """A film of small pictures, the fifth of which is not."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("png", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 64, 64, "rgb24"
        for number in range(8):
            packet = av.Packet(png(SIDE, SIDE) if number == 4 else encoded("PNG"))
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.time_base = Fraction(1, 25)
            out.mux(packet)


def peak_mib() -> float:
    """Of the memory of this process since the last `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmHWM")) / 1024


def forget_peak() -> float:
    """-> MiB held now."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_mib()


def outcome(path: Path, style: bool) -> str:
    """What a user is told; "opened" where nothing is."""
    try:
        if style:
            read_style(str(path))
            return "opened"
        with open_source(str(path)) as source:
            for _ in source.frames():
                pass
            return source.damage or "opened"
    except StreamError as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    found = {}
    for path in sorted(Path(sys.argv[1]).iterdir()):
        for style in (False, True):
            held, began = forget_peak(), time.monotonic()
            said = outcome(path, style)
            took = time.monotonic() - began
            found[f"{path.name} {'style' if style else 'source'}"] = said, peak_mib() - held, took
    print(json.dumps(found))
