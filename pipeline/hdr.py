"""HDR that stays: what a painter sees of it, and the same way back.

A painter knows pictures as screens show them: 8 bits, BT.709 primaries. HLG is the form of HDR that
looks right on such screens, so a painter is given the HLG signal of the picture, and what it paints
is taken for one: its white is as bright as the brightest highlights, three quarters of it is white
paper (203 nits of 1000). PQ, which tells light itself, is counted up to PEAK_NITS; what is
brighter, and colours outside BT.709, are the nearest that there is.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.frame import Pixels

Codes = NDArray[np.uint16]
"""R'G'B' as the video codes it, height x width x 3, full range: 65535 is 1."""
Table = NDArray[np.float64]

PEAK_NITS = 1000.0
PQ = "smpte2084"
_GAMMA = 1.2
"""Of an HLG screen of that peak: from the light of the scene to its own."""
_TO_709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349],
     [-0.018151, -0.100579, 1.118730]], np.float32
)  # fmt: skip
_ROWS = 64
"""Converted at a time, which stays in the caches of a processor."""
_FINEST = 65_535


def to_painter(codes: Codes, transfer: str, primaries: str | None) -> Pixels:
    """The codes of `transfer` ("smpte2084" or "arib-std-b67") as a painter sees them."""
    painted: Pixels = _converted(codes, _light(transfer), _matrix(primaries), _signal(transfer))
    return painted


def from_painter(pixels: Pixels, transfer: str, primaries: str | None) -> Codes:
    """A painting as codes of `transfer`."""
    matrix = np.linalg.inv(_matrix(primaries)).astype(np.float32)
    codes: Codes = _converted(pixels, _light_painted(transfer), matrix, _codes(transfer))
    return codes


def _converted(
    picture: NDArray[Any],
    light: NDArray[np.float32],
    matrix: NDArray[np.float32],
    table: NDArray[Any],
) -> NDArray[Any]:
    """The `light` of each value, in other primaries, as `table` has it by its root."""
    out = np.empty(picture.shape, table.dtype)
    for row in range(0, len(picture), _ROWS):
        there = light[picture[row : row + _ROWS]] @ matrix.T
        out[row : row + _ROWS] = table[_root(there)]
    return out


def _matrix(primaries: str | None) -> NDArray[np.float32]:
    """To BT.709; other primaries than BT.2020, which are rare in HDR, are left as they are."""
    return _TO_709 if primaries in (None, "bt2020") else np.eye(3, dtype=np.float32)


def _root(light: NDArray[np.float32]) -> Codes:
    """Where tables by light have the place of `light`: by its root, so that the dark is fine."""
    place: Codes = (np.sqrt(light.clip(0, 1)) * _FINEST + 0.5).astype(np.uint16)
    return place


# Light is that of the scene for HLG, that of the screen for PQ, each 1 at the peak.


@cache
def _light(transfer: str) -> NDArray[np.float32]:
    """Of each code."""
    code = np.arange(_FINEST + 1) / _FINEST
    light = _pq_nits(code) / PEAK_NITS if transfer == PQ else _hlg_scene(code)
    return light.clip(0, 1).astype(np.float32)


@cache
def _signal(transfer: str) -> Pixels:
    """What a painter sees of light, by its root."""
    light = (np.arange(_FINEST + 1) / _FINEST) ** 2
    scene = light ** (1 / _GAMMA) if transfer == PQ else light
    return (_hlg_signal(scene) * 255 + 0.5).astype(np.uint8)


@cache
def _light_painted(transfer: str) -> NDArray[np.float32]:
    """Of each level of a painting."""
    scene = _hlg_scene(np.arange(256) / 255)
    return (scene**_GAMMA if transfer == PQ else scene).astype(np.float32)


@cache
def _codes(transfer: str) -> Codes:
    """Of light, by its root."""
    light = (np.arange(_FINEST + 1) / _FINEST) ** 2
    code = _pq_code(light * PEAK_NITS) if transfer == PQ else _hlg_signal(light)
    return (code * _FINEST + 0.5).astype(np.uint16)


# -- the curves of BT.2100 ------------------------------------------------------------------------

_M1, _M2 = 2610 / 16384, 2523 / 32
_C1, _C2, _C3 = 3424 / 4096, 2413 / 128, 2392 / 128
_A = 0.17883277
_B, _C = 1 - 4 * _A, 0.5 - _A * np.log(4 * _A)


def _pq_nits(code: Table) -> Table:
    power = code ** (1 / _M2)
    nits: Table = 10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)
    return nits


def _pq_code(nits: Table) -> Table:
    power = (nits / 10_000) ** _M1
    code: Table = ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2
    return code


def _hlg_scene(signal: Table) -> Table:
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _C) / _A) + _B) / 12)


def _hlg_signal(scene: Table) -> Table:
    log = _A * np.log(np.maximum(12 * scene - _B, 1e-9)) + _C
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), log).clip(0, 1)
