"""A folder of films as one job: where each of them goes, and how far they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.address import as_path
from pipeline.errors import ConfigError
from pipeline.plan import check_name, default_output
from pipeline.request import StreamOptions
from pipeline.sinks import journals
from pipeline.sinks._parts import is_part
from pipeline.sources import PICTURE_SUFFIXES

SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
    *(".flv", ".wmv", ".asf", ".ogv", ".3gp", ".mxf", ".vob", ".gif"),
}


@dataclass(slots=True)
class Film:
    """One film of the folder."""

    path: Path
    output: str
    state: str = "waits"

    @property
    def is_there(self) -> bool:
        """Whether an earlier run has completed it."""
        return Path(self.output).exists() and not any(journals([self.output]))


def films_of(source: str, options: StreamOptions) -> list[Film]:
    """The films of a folder without pictures, by name; none when `source` is something else."""
    check_name(source)
    folder = Path(source)
    if not folder.is_dir():
        return []
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    outputs = [Path(text) for text in options.output]
    found = [
        Film(path, default_output(str(path), options))
        for path in files
        if path.suffix.lower() in SUFFIXES and not is_part(path)
    ]
    if not found:
        return []
    if any(p.suffix.lower() in PICTURE_SUFFIXES for p in files):
        raise ConfigError(f"{source} has films and pictures: name one kind, such as {source}/*.jpg")
    if not outputs:
        made = {Path(film.output) for film in found}  # of an earlier run, beside the films
        found = [film for film in found if film.path not in made]
    elif len(outputs) > 1 or outputs[0].suffix:
        raise ConfigError("a folder of films goes into one folder: -o painted/")
    else:
        for film in found:
            film.output = as_path(outputs[0] / Path(film.output).name)
    places: dict[str, str] = {}
    for name, place in ((film.path.name, film.output) for film in found):
        if (other := places.setdefault(place, name)) != name:
            raise ConfigError(
                f"{other} and {name} in {source} differ only in their suffix: rename one of them"
            )
    return found


def table(films: list[Film]) -> Iterator[str]:
    """One line for each film."""
    width = max(len(film.path.name) for film in films)
    for film in films:
        yield f"{film.path.name:{width}}  {film.state}"
