"""A folder of films as one job."""

from pathlib import Path

import pytest
from conftest import Run
from media import video

from pipeline.cli import parse
from pipeline.errors import ConfigError
from pipeline.films import films_of


def test_each_film_is_painted_and_a_bad_one_stops_none(paint: Run, tmp_path: Path) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    video(films / "a.mp4", 5)
    (films / "b.mkv").write_text("no film " * 100)
    video(films / "c.mov", 5)
    (films / "notes.txt").write_text("not asked for")
    words = [films, "--model", "identity", "-o", f"{out}/", "--report", tmp_path / "told.json"]
    done = paint(*words)
    assert done.returncode == 1
    assert "not a video" in done.stderr
    assert done.stderr.splitlines()[-3].split() == ["a.mp4", "done"]
    assert done.stderr.splitlines()[-1].split() == ["c.mov", "done"]
    assert sorted(p.name for p in out.iterdir()) == ["a_identity.mp4", "c_identity.mp4"]
    told = sorted(p.name for p in tmp_path.glob("*.json"))
    assert told == ["told_a_identity.json", "told_c_identity.json"]
    made = (out / "a_identity.mp4").stat().st_mtime_ns
    again = paint(*words, "--resume")
    assert "was there already" in again.stderr
    assert (out / "a_identity.mp4").stat().st_mtime_ns == made
    refused = paint(films, "--model", "identity", "-o", out / "x.mp4")
    assert "goes into one folder" in refused.stderr


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a.mov", "a.mp4"], r"a\.mov and a\.mp4 in .* differ only in their suffix"),
        (["a.mp4", "cover.jpg"], "has films and pictures"),
    ],
)
def test_no_film_is_left_out_in_silence(names: list[str], said: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=said):
        films_of(*parse([str(tmp_path), "--model", "identity"]))


def test_what_a_run_has_begun_is_no_film(tmp_path: Path) -> None:
    for name in ("the.party.mp4", "a.part.mp4", "a.part-000120.mp4", "a.part-join.mp4"):
        (tmp_path / name).touch()
    found = films_of(*parse([str(tmp_path), "--model", "identity"]))
    assert [film.path.name for film in found] == ["the.party.mp4"]


def test_films_whose_names_look_like_patterns_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("100%.mp4", "50% off.mp4", "who?.mp4", "Part: 2.mp4"):
        (tmp_path / name).touch()
    made = [film.output for film in films_of(*parse([".", "--model", "identity"]))]
    assert made == [
        *("100%_identity.mp4", "50% off_identity.mp4"),
        *("./Part: 2_identity.mp4", "who?_identity.mp4"),
    ]
