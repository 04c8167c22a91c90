"""A synthesised soundtrack: warm pad, soft arpeggio, and a wooden click on every cut."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

RATE_HZ = 48_000
_NOTE_S = 0.1875
_CHORDS = (
    (50, 57, 62, 66, 69, 76),
    (47, 54, 62, 66, 69, 74),
    (43, 55, 59, 62, 66, 71),
    (45, 57, 61, 64, 69, 73),
)
_ORDER = (2, 4, 3, 5, 4, 3, 5, 4)

Wave = npt.NDArray[np.float64]


def _pitch_hz(midi: float) -> float:
    return float(440 * 2 ** ((midi - 69) / 12))


def _seconds(length_s: float) -> Wave:
    return np.arange(round(length_s * RATE_HZ)) / RATE_HZ


def _mix_in(track: Wave, sound: Wave, at_s: float, left: float, right: float) -> None:
    """Add a mono sound to a 2 x N track from `at_s` on, cut off at the track's end."""
    start = round(at_s * RATE_HZ)
    room = min(len(sound), track.shape[1] - start)
    if room > 0:
        track[:, start : start + room] += np.array([[left], [right]]) * sound[:room]


def _pad(chord: tuple[int, ...], length_s: float) -> Wave:
    t = _seconds(length_s)
    tones = [
        np.sin(2 * np.pi * _pitch_hz(note + cents) * t + note) / (1 + 0.12 * (note - 43))
        for note in chord[:5]
        for cents in (-0.045, 0.045)
    ]
    swell = np.minimum(1, t / 0.25) * np.minimum(1, (length_s - t) / 0.35)
    return np.asarray(np.sum(tones, 0) * np.clip(swell, 0, 1) * 0.045)


def _pluck(note: int) -> Wave:
    t = _seconds(0.9)
    hz = _pitch_hz(note + 12)
    body = np.sin(2 * np.pi * hz * t + 0.7 * np.sin(2 * np.pi * 2 * hz * t) * np.exp(-t * 9))
    return np.asarray(body * np.exp(-t * 5.5) * np.minimum(1, t / 0.004) * 0.13)


def _click() -> Wave:
    """A dry woodblock whose onset is its first sample, so that sync can be judged by ear."""
    t = _seconds(0.07)
    knock = np.sin(2 * np.pi * 1150 * t) + 0.6 * np.sin(2 * np.pi * 1870 * t)
    return np.asarray(knock * np.exp(-t * 85) * 0.34)


def _echo(track: Wave) -> Wave:
    wet = track.copy()
    for turn, delay_s in enumerate((_NOTE_S * 1.5, _NOTE_S * 3), 1):
        shift = round(delay_s * RATE_HZ)
        wet[:, shift:] += track[::-1, :-shift] * 0.32**turn
    return wet


def compose(length_s: float, cuts_s: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """Stereo 2 x N float32 in [-1, 1] at 48 kHz; the chord changes and a click falls at cuts."""
    track = np.zeros((2, round(length_s * RATE_HZ)))
    bounds = (0.0, *cuts_s, length_s)
    for index, (start, end) in enumerate(pairwise(bounds)):
        chord = _CHORDS[index % len(_CHORDS)]
        _mix_in(track, _pad(chord, end - start + 0.3), start, 1, 1)
        for step in range(int((end - start) / _NOTE_S + 0.5)):
            side = 0.5 + 0.35 * np.sin(step * 1.7 + index)
            note = chord[_ORDER[step % len(_ORDER)]]
            _mix_in(track, _pluck(note), start + step * _NOTE_S, 1 - side, side)
    track = _echo(track)
    for cut in cuts_s:
        _mix_in(track, _click(), cut, 1, 1)
    fade = np.clip((length_s - np.arange(track.shape[1]) / RATE_HZ) / 0.6, 0, 1)
    return np.tanh(track * fade * 1.3).astype(np.float32)
