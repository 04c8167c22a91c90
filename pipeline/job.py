"""What decides every pixel of a job; a run that goes on with it must agree."""

import dataclasses
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import models

Job = dict[str, dict[str, Any]]
"""`options`: name -> value; `contents`: path -> fingerprint; all of it plain for JSON."""

FREE = {
    "output",
    "overwrite",
    "report",
    "resume",
    "stylizers",
    "address",
    "metrics",
    "log",
    "web_token",
    "recordings",
}
"""Options that change no pixel."""
SAMPLES, SAMPLE_BYTES = 64, 1 << 20


def job_of(source: str, options: Any, files: list[str]) -> Job:
    """The job of painting `source` by `options`, which name the further `files`."""
    values = {
        field.name: _plain(getattr(options, field.name))
        for field in dataclasses.fields(options)
        if field.name not in FREE
    }
    weights = models.FOLDER / "weights" / f"{options.model}.safetensors"
    named = {source: Path(source.removeprefix("file:")), options.model: weights}
    exported = str(Path(options.engine, "manifest.json"))
    named |= {name: Path(name) for name in [*files, options.model, exported]}
    if weights.exists():
        named[options.model] = weights
    contents = {name: fingerprint(path) for name, path in named.items() if path.exists()}
    return {
        "options": {"input": source, **values},
        "contents": contents,
        "program": {name: version(name) for name in ("stylestream", "av")},
    }


def fingerprint(path: Path) -> str:
    """Of a file: of its size and all it holds, or where it is large of a MiB at 64 places. Of a
    folder: of the names and sizes of its files."""
    made = sha256()
    if path.is_dir():
        for file in sorted(p for p in path.iterdir() if p.is_file()):
            made.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        return made.hexdigest()
    size = path.stat().st_size
    made.update(str(size).encode())
    step = max(SAMPLE_BYTES, (size - SAMPLE_BYTES) // (SAMPLES - 1))
    with path.open("rb") as data:
        for place in range(0, size, step):
            data.seek(place)
            made.update(data.read(SAMPLE_BYTES))
    return made.hexdigest()


def differences(before: dict[str, Any], now: Job) -> list[str]:
    """What has changed, one phrase each."""
    found = []
    for group, things in now.items():
        old = before.get(group, {})
        for name in {**old, **things}:
            was, is_ = old.get(name), things.get(name)
            if was == is_:
                continue
            if group == "contents":
                found += [f"{name} holds something else now"] if name in old else []
            else:
                flag = name if name == "input" or group == "program" else f"--{name}"
                found.append(f"{flag.replace('_', '-')} was {_said(was)}, is {_said(is_)}")
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def _said(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return "not given" if value is None else str(value)
