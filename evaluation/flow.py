"""Links of filmed clips: optical flow, estimated from the unpainted frames in both directions, and
where it may be trusted."""

import cv2
import torch
from torch import Tensor

from evaluation.appearance import to_pixels
from evaluation.temporal import Clip, Link, inside, linked, pixel_grid
from pipeline.flow import flow, trusted


def filmed(name: str, frames: Tensor) -> Clip:
    """Decoded frames (N,3,H,W) in [0, 1] -> the clip with its links."""
    greys = [cv2.cvtColor(to_pixels(frame), cv2.COLOR_RGB2GRAY) for frame in frames]
    links = []
    for early, late in linked(len(frames)):
        back, forth = flow(greys[late], greys[early]), flow(greys[early], greys[late])
        positions = pixel_grid(*back.shape[:2]) + torch.from_numpy(back)
        seen = inside(positions, *back.shape[:2]) & torch.from_numpy(trusted(back, forth))
        links.append(Link(early, late, positions.float(), seen))
    return Clip(name, frames, links)
