"""What decides every pixel of a job; a run that goes on with it must agree."""

import dataclasses
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import models
from pipeline.address import shown
from pipeline.sources.images import pictures_of

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
    "web_name",
    "recordings",
    "user",
    "password_file",
}
"""Options that change no pixel."""
SAMPLES, SAMPLE_BYTES = 64, 1 << 20
FEW, FEW_BYTES = 8, 1 << 16
"""Of each of many files."""


def job_of(source: str, options: Any, files: list[str], about: str = "") -> Job:
    """The job of painting `source` by `options`, which name the further `files`. `about`: what is
    known of a source that lies on no disk; nothing that is secret in its address is kept."""
    values = {
        field.name: _plain(getattr(options, field.name))
        for field in dataclasses.fields(options)
        if field.name not in FREE
    }
    source = shown(source)
    weights = models.FOLDER / "weights" / f"{options.model}.safetensors"
    named = {source: Path(source.removeprefix("file:")), options.model: weights}
    named["weights/parts"] = models.FOLDER / "weights" / "parts"  # which weights leave out
    exported = str(Path(options.engine, "manifest.json"))
    named |= {name: Path(name) for name in [*files, options.model, exported]}
    if weights.exists():
        named[options.model] = weights
    # Of a folder of pictures only these count: what is painted may lie there too.
    pictures = named[source].is_dir() or not (named[source].exists() or ":" in source)
    contents = {
        name: fingerprint(path)
        for name, path in named.items()
        if path.exists() and not (pictures and name == source)
    }
    if source not in contents:
        contents[source] = fingerprint_of_all(pictures_of(source)) if pictures else about
    return {
        "options": {"input": source, **values},
        "contents": contents,
        "program": {name: version(name) for name in ("stylestream", "av")},
    }


def fingerprint(path: Path) -> str:
    """Of a file: of its size and all it holds, or where it is large of SAMPLES samples. Of a
    folder: of its files."""
    if path.is_dir():
        return fingerprint_of_all(sorted(p for p in path.iterdir() if p.is_file()))
    return _sampled(path, SAMPLES, SAMPLE_BYTES)


def fingerprint_of_all(paths: list[Path]) -> str:
    """Of many files: of their names, their sizes and a few samples of each."""
    made = sha256()
    for path in paths:
        made.update(f"{path.name}\0{_sampled(path, FEW, FEW_BYTES)}\0".encode())
    return made.hexdigest()


def _sampled(path: Path, samples: int, sample_bytes: int) -> str:
    size = path.stat().st_size
    made = sha256(str(size).encode())
    step = max(sample_bytes, (size - sample_bytes) // (samples - 1))
    with path.open("rb") as data:
        for place in range(0, size, step):
            data.seek(place)
            made.update(data.read(sample_bytes))
    return made.hexdigest()


def differences(before: dict[str, Any], now: Job) -> list[str]:
    """What has changed, one phrase each."""
    found = []
    for group, things in now.items():
        old = before.get(group)
        old = old if isinstance(old, dict) else {}
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
