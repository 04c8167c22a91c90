"""Dense optical flow between two pictures, where it may be trusted, and pictures moved along it.

Flow by OpenCV's DIS (Kroeger et al., ECCV 2016). A pixel counts where the flows of both directions
agree and off the edges of motion, by the two tests of Sundaram et al. (ECCV 2010), which artistic
video transfer uses since Ruder et al. (2016).
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Flow = NDArray[np.float32]


def flow(first: Grey, second: Grey, start: Flow | None = None) -> Flow:
    """Grey pictures (H,W) -> where the pixels of the first went to, (H,W,2) in px x, y.

    `start`: a flow that is near, such as that of the picture before.
    """
    # Of the presets it alone leaves few wrong vectors, and it costs less than a painting.
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]
    begun = None if start is None else start.astype(np.float32)
    return np.asarray(dis.calc(first, second, begun), np.float32)


def moved(picture: Any, along: Flow, how: int = cv2.INTER_LINEAR) -> Any:
    """(H,W[,C]) -> at each pixel what lies where its flow points to; the border is repeated."""
    x, y = cv2.split(along)
    return cv2.remap(picture, x, y, how | cv2.WARP_RELATIVE_MAP, borderMode=cv2.BORDER_REPLICATE)


def trusted(flow: Flow, other: Flow) -> NDArray[np.bool_]:
    """(H,W): the flow and the one in the opposite direction cancel out, and it is smooth there."""
    returned = moved(other, flow)
    agree = squares(flow + returned) <= 0.01 * (squares(flow) + squares(returned)) + 0.5
    slope = sum(squares(np.gradient(flow, axis=axis)) for axis in (0, 1))
    return np.asarray(agree & (slope <= 0.01 * squares(flow) + 0.002), np.bool_)


def inside(flow: Flow) -> NDArray[np.bool_]:
    """(H,W): where the flow points into the picture."""
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    across, down = x + flow[..., 0], y + flow[..., 1]
    within = (across >= 0) & (across <= width - 1) & (down >= 0) & (down <= height - 1)
    return np.asarray(within, np.bool_)


def squares(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """(H,W,2) -> squared lengths (H,W)."""
    return np.asarray(np.square(vectors).sum(-1), np.float32)
