"""The live page in a real browser: the picture moves, what is chosen is seen, keys are enough."""

import asyncio
import json
from collections.abc import Iterator
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
from browser import BROWSER, Tab, browser
from test_page import TICK, TOKEN, Served

from pipeline.frame import Frame

pytestmark = pytest.mark.skipif(not BROWSER, reason="needs Chromium")
COLOURS = {"wave": (200, 60, 60), "autumn": (60, 60, 200)}
PIXEL = """(() => {
  const source = document.getElementById('video').hidden ? mjpeg : video;
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext('2d');
  const wide = source.videoWidth || source.naturalWidth;
  const high = source.videoHeight || source.naturalHeight;
  if (!wide) return null;
  pen.drawImage(source, wide * AT, high / 2, 1, 1, 0, 0, 1, 1);
  return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
})()"""


class Painted(Served):
    """Frames have the colour of the look that was asked for; a bar moves over them."""

    figures: ClassVar = {
        "dropped": 7.0,
        "reconnects": 2.0,
        "latency_p50_ms": 41.0,
        "latency_p95_ms": 56.8,
        "latency_p99_ms": 90.2,
    }

    def _feed(self) -> None:
        green = np.full((240, 320, 3), (40, 160, 40), np.uint8)
        index = 0
        while not self._ended.wait(0.04):
            regions = self.asked[-1].regions if self.asked else None
            name = "autumn" if regions and "autumn" in str(regions[0].shares) else "wave"
            frame = np.full((240, 320, 3), COLOURS[name], np.uint8)
            frame[:20, index * 4 % 300 :][:, :20] = 255
            self.sink.tell(self.figures)
            self.asked += self.sink.take_asked()
            if not self.away:
                at = Fraction(index, 25) / TICK
                self.sink.write(Frame(index, round(at), TICK, frame, before=green))
                index += 1


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Painted]:
    served = Painted(tmp_path_factory.mktemp("browsed"), size=(320, 240))
    yield served
    served.close()


async def seen(tab: Tab, colour: tuple[int, int, int], at: float = 0.5) -> None:
    """Until this colour is what the browser shows."""
    script = PIXEL.replace("AT", str(at))
    async with asyncio.timeout(60):
        while True:
            pixel = await tab.run(script)
            if pixel and max(abs(a - b) for a, b in zip(pixel, colour, strict=True)) < 24:
                return
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("way", ["webrtc", "mjpeg"])
def test_the_picture_moves_and_a_look_is_seen(page: Painted, way: str) -> None:
    async def look() -> None:
        async with browser() as tab:
            mark = "#mjpeg" if way == "mjpeg" else ""
            await tab.open(f"http://127.0.0.1:{page.port}/{mark}")
            assert await tab.until("document.body.dataset.video") == way
            if way == "webrtc":
                counter = "video.getVideoPlaybackQuality().totalVideoFrames"
                first = await tab.run(counter)
                await tab.until(f"{counter} > {first} + 10")
            await tab.run("document.querySelector('[data-name=wave] .look').click()")
            await seen(tab, COLOURS["wave"])
            await tab.run("document.querySelector('[data-name=autumn] .look').click()")
            await seen(tab, COLOURS["autumn"])

    asyncio.run(look())
    assert page.asked[-1].fade_s == 1.0


def test_keys_are_enough(page: Painted) -> None:
    async def use() -> None:
        async with browser() as tab:
            await tab.open(f"http://127.0.0.1:{page.port}/")
            await tab.until("!!document.querySelector('[data-name=wave] [aria-pressed]')")
            await tab.press("1", "Digit1")
            pressed = "document.querySelector('[data-name=NAME] .look').ariaPressed"
            await tab.until(f"{pressed.replace('NAME', 'wave')} === 'true'")
            await tab.press("!", "Digit3", modifiers=8)
            await tab.until("!mixing.hidden && mix.querySelectorAll('input').length === 2")
            await tab.press("]")
            await tab.until("strength.value === '0.85'")
            await tab.press("f")
            await tab.until("freeze.ariaPressed === 'true'")
            await tab.press("f")
            await tab.press("c")
            await tab.until("keep.checked && freeze.ariaPressed === 'false'")
            await tab.press("b")
            await tab.until("compare.innerText.trim() === 'Beside'")
            await seen(tab, (40, 160, 40), 0.25)
            await seen(tab, COLOURS["wave"], 0.75)
            await tab.press("p")
            await tab.until("!brushes.hidden && compare.innerText.trim() === 'Compare'")
            await tab.run("document.querySelector('[data-shape=left]').click()")
            await tab.run("document.getElementById('keep-region').click()")
            await tab.until("regions.querySelectorAll('.tabs').length === 1 && brushes.hidden")
            await tab.press("?")
            await tab.until("help.open")

    asyncio.run(use())
    state = page.state()
    assert (len(state["regions"]), state["strength"], state["keep_color"]) == (2, 0.85, True)


def test_flicker_is_shown_where_it_is_measured(page: Painted) -> None:
    async def look() -> None:
        async with browser() as tab:
            await tab.open(f"http://127.0.0.1:{page.port}/")
            shown = "document.getElementById('figures').innerText"
            await tab.until(f"{shown}.includes('41 · 57 · 90 ms') && !{shown}.includes('flicker')")
            page.figures = {**Painted.figures, "flicker_painted": 3.14, "flicker_output": 1.26}
            await tab.until(f"{shown}.includes('flicker') && {shown}.includes('3.1 → 1.3')")

    asyncio.run(look())


def test_a_camera_that_is_gone_is_not_shown_as_live(page: Painted) -> None:
    async def look() -> None:
        async with browser() as tab:
            await tab.open(f"http://127.0.0.1:{page.port}/")
            await tab.until("state.innerText === 'live'")
            page.away = True
            await tab.until("/^no picture for [0-9]+ s$/.test(state.innerText)")
            page.away = False
            await tab.until("state.innerText === 'live'")

    try:
        asyncio.run(look())
    finally:
        page.away = False


@pytest.mark.parametrize("width", [390, 1920])
def test_everything_has_a_name_and_fits(page: Painted, width: int) -> None:
    async def look() -> str:
        async with browser() as tab:
            await tab.open(f"http://127.0.0.1:{page.port}/", width, 844 if width < 600 else 1080)
            await tab.until("document.querySelector('.look') && document.body.dataset.video")
            assert await tab.run("document.documentElement.scrollWidth") == width
            tree = await tab.do("Accessibility.getFullAXTree")
            return json.dumps(
                [
                    node["role"]["value"]
                    for node in tree["nodes"]
                    if node.get("role", {}).get("value") in ("button", "slider", "switch", "link")
                    and not node.get("name", {}).get("value")
                ]
            )

    assert asyncio.run(look()) == "[]"


def test_a_browser_signs_in(tmp_path_factory: pytest.TempPathFactory) -> None:
    guarded = Served(tmp_path_factory.mktemp("signed"), "0.0.0.0", TOKEN)

    async def use() -> None:
        async with browser() as tab:
            await tab.open(f"http://127.0.0.1:{guarded.port}/")
            await tab.run("token.value = 'wrong'; document.forms[0].requestSubmit()")
            await tab.until("document.body?.innerText.includes('not the token')")
            await tab.run(f"token.value = '{TOKEN}'; document.forms[0].requestSubmit()")
            assert await tab.until("document.body?.dataset.video") == "webrtc"
            assert "token" not in str(await tab.run("location.href"))

    try:
        asyncio.run(use())
    finally:
        guarded.close()
