"""Links of filmed clips: dense optical flow, and where it may be trusted.

Flow by OpenCV's DIS (Kroeger et al., ECCV 2016), estimated from the unpainted frames in both
directions. A pixel counts where the two agree and off the edges of motion, by the two tests of
Sundaram et al. (ECCV 2010), which artistic video transfer uses since Ruder et al. (2016).
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.appearance import to_pixels
from evaluation.temporal import Clip, Link, inside, linked, pixel_grid

Grey = NDArray[np.uint8]
Flow = NDArray[np.float32]


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


def flow(first: Grey, second: Grey) -> Flow:
    """Grey pictures (H,W) -> where the pixels of the first went to, (H,W,2) in px x, y."""
    # Of the presets it alone leaves few wrong vectors, and it costs less than a painting.
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(dis.calc(first, second, None), np.float32)


def trusted(flow: Flow, other: Flow) -> NDArray[np.bool_]:
    """(H,W): the flow and the one in the opposite direction cancel out, and it is smooth there."""
    height, width = flow.shape[:2]
    target = pixel_grid(height, width).numpy().astype(np.float32) + flow
    returned = cv2.remap(
        other, target[..., 0], target[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    agree = squares(flow + returned) <= 0.01 * (squares(flow) + squares(returned)) + 0.5
    slope = sum(squares(np.gradient(flow, axis=axis)) for axis in (0, 1))
    return np.asarray(agree & (slope <= 0.01 * squares(flow) + 0.002), np.bool_)


def squares(vectors: Flow) -> NDArray[np.float32]:
    """(H,W,2) -> squared lengths (H,W)."""
    return np.asarray(np.square(vectors).sum(-1), np.float32)
