"""Sample sheets: photographs down, styles across, the same ones every time."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from training.data import Pictures

TILE = 192


def square(picture: np.ndarray) -> Tensor:
    """Centre crop of an RGB picture as (1,3,TILE,TILE) in [0, 1]."""
    h, w = picture.shape[:2]
    n = min(h, w)
    crop = picture[(h - n) // 2 :, (w - n) // 2 :][:n, :n]
    crop = cv2.resize(crop, (TILE, TILE), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255


@torch.no_grad()
def write_sheet(
    model: nn.Module, content: Pictures, style: Pictures, folder: Path, step: int
) -> None:
    """A grid of 4 photographs x 6 styles, or of fewer where one would be there twice, as
    `sheet_<step>.png` in `folder`; OSError."""
    device = next(model.parameters()).device
    rng = np.random.default_rng(0)
    rows, columns = (
        [square(these.pictures[i]) for i in dict.fromkeys(rng.integers(len(these), size=count))]
        for these, count in ((content, 4), (style, 6))
    )
    codes = [model.encode_style(c.to(device)) for c in columns]
    lines = [torch.cat([torch.ones_like(rows[0]), *columns], 3)]
    for photo in rows:
        painted = [model(photo.to(device), code).cpu() for code in codes]
        lines.append(torch.cat([photo, *painted], 3))
    sheet = (torch.cat(lines, 2)[0].permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)
    _, png = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    (folder / f"sheet_{step:06d}.png").write_bytes(png.tobytes())
