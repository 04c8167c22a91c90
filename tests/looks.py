"""Frames as run_stream.py would paint them, without a process of their own."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from models import pictures
from pipeline import patient
from pipeline.keyframes import Film
from pipeline.look import make_look
from pipeline.plan import check_options
from pipeline.pool import FramePool
from pipeline.queues import Ticket
from pipeline.request import StreamOptions
from pipeline.sources import SourceOptions
from pipeline.style import read_style
from pipeline.stylizer import Stylizer

RATE = 25


def stylized(photo: Path, options: StreamOptions, indices: Sequence[int] = (0,)) -> np.ndarray:
    """A picture file as the frames of these indices of a film of RATE frames/s -> (N,H,W,3)."""
    check_options(options)
    look = make_look(options, [read_style(text, options.model) for text in options.style])
    kind: type[Stylizer] = Stylizer
    if look.film is not None:
        kind, look = patient.Stylizer, replace(look, film=Film(str(photo), SourceOptions()))
    pixels, _ = pictures.read(photo)
    painted = []
    with closing(FramePool.create(2, *pixels.shape[:2])) as pool:
        stylizer = kind(pool.handle, look)
        stylizer.open()
        for index in indices:
            pool[0][:] = pixels
            while not stylizer.stylize([Ticket(index, index, Fraction(1, RATE), 0)], [1]).tickets:
                pass
            painted.append(pool[1].copy())
    return np.stack(painted)
