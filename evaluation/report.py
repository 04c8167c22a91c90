"""The report as files: table.csv, table.md, measurements.csv and index.html."""

from pathlib import Path
from tempfile import TemporaryFile

from evaluation.page import Findings, markdown, page
from evaluation.table import every
from pipeline.errors import SinkError


def prepared(folder: str) -> Path:
    """The folder, made and tried before hours of work; SinkError when nothing can be written."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise SinkError(f"cannot write into {folder}: {error.strerror}") from error


def save(found: Findings, folder: Path) -> None:
    """Write all files, over those of an earlier report."""
    texts = {
        "table.csv": found.summary().csv(),
        "table.md": markdown(found),
        "measurements.csv": every(found.measured),
        "index.html": page(found),
    }
    try:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SinkError(f"cannot write into {folder}: {error.strerror}") from error
