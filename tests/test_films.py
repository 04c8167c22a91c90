"""A folder of films as one job."""

from pathlib import Path

from conftest import Run
from media import video


def test_each_film_is_painted_and_a_bad_one_stops_none(paint: Run, tmp_path: Path) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    video(films / "a.mp4", 5)
    (films / "b.mkv").write_text("no film " * 100)
    video(films / "c.mov", 5)
    (films / "notes.txt").write_text("not asked for")
    words = [films, "--model", "identity", "-o", f"{out}/"]
    done = paint(*words)
    assert done.returncode == 1
    assert "not a video" in done.stderr
    assert done.stderr.splitlines()[-3].split() == ["a.mp4", "done"]
    assert done.stderr.splitlines()[-1].split() == ["c.mov", "done"]
    assert sorted(p.name for p in out.iterdir()) == ["a_identity.mp4", "c_identity.mp4"]
    made = (out / "a_identity.mp4").stat().st_mtime_ns
    again = paint(*words, "--resume")
    assert "was there already" in again.stderr
    assert (out / "a_identity.mp4").stat().st_mtime_ns == made
    refused = paint(films, "--model", "identity", "-o", out / "x.mp4")
    assert "goes into one folder" in refused.stderr
