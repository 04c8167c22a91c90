"""How late live frames are: from arrival to output, and from source to glass over a network."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np

from benchmarks import ROOT, Row, paint
from pipeline import blocks

RATE, SECONDS = 30, 20
SCENE = f"test:live,size=1280x720,rate={RATE},duration={SECONDS}"
SLOW = f"test:live,size=640x360,rate={RATE},duration={SECONDS}"
CALLED_S = 60.0
"""So long it may take until the stream connects."""
WARM = 2 * RATE
"""First frames, which do not count."""


def measure() -> Iterator[Row]:
    """A camera at 30 frames a second: untouched, and painted slower than it comes."""
    plain = paint(SCENE, "--model", "identity", "-o", "null:")["latency"]
    frames = plain["p50_ms"] * RATE / 1e3
    yield Row("identity 720p30, arrival to output, p50, frames", frames, "<= 1.5")
    yield Row("the same, p99, ms", plain["p99_ms"], "<= 100")
    ages = glass()
    if len(ages) > 2 * WARM:
        for share in (50, 95, 99):
            name = f"the same by MPEG-TS to a decoder, p{share}, ms"
            yield Row(name, 1e3 * float(np.percentile(ages, share)), "")
        late, early = np.median(ages[-WARM:]), np.median(ages[:WARM])
        yield Row("its last two seconds / its first", float(late / early), "about 1")
    style = "--style", str(ROOT / "styles/wave.jpg")
    free = paint(SLOW, *style, "-o", "null:")
    yield Row("compact 360p30, arrival to output, p95, ms", free["latency"]["p95_ms"], "")
    limit_ms = round(free["latency"]["p50_ms"] / 2)
    held = paint(SLOW, *style, "-o", "null:", "--max-latency", f"{limit_ms}ms")
    yield Row(f"the same with --max-latency {limit_ms}ms, p95", held["latency"]["p95_ms"], "")
    yield Row("share of its frames in time", held["max_latency"]["in_time"], "")


def glass() -> list[float]:
    """Ages in seconds of the frames that a decoder at the end of a connection shows."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as beside:
        listener.settimeout(CALLED_S)
        to = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        run = beside.submit(paint, SCENE, "--model", "identity", "-o", to)
        with listener.accept()[0] as caller, caller.makefile("rb") as stream:
            ages = list(seen(stream))
        print(*run.result()["notices"], sep="\n")  # why, when it was cut off
    return ages[WARM:]


def seen(stream: object) -> Iterator[float]:
    """The age of each frame at the moment it is decoded."""
    options = {"fflags": "nobuffer", "probesize": "65536", "analyzeduration": "0"}
    with av.open(stream, mode="r", format="mpegts", options=options) as media:
        media.streams.video[0].thread_type = "SLICE"
        for picture in media.decode(video=0):
            age = blocks.age_s(np.asarray(picture.to_ndarray(format="rgb24"), np.uint8))
            if age is not None:
                yield age
