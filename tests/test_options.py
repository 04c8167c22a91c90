"""Options from words, YAML and Python: one definition, every mistake named."""

from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.cli import parse
from pipeline.errors import ConfigError
from pipeline.films import films_of
from pipeline.options import build, read_yaml
from pipeline.plan import check_options, default_output, planned
from pipeline.request import StreamOptions

DEFAULTS = Path(__file__).parents[1] / "configs" / "default.yaml"


def test_words_become_values() -> None:
    source, options = parse(
        [
            "in.mp4",
            "--style",
            "a.jpg:0.7",
            "--style",
            "b.jpg",
            "c.jpg",
            "--size",
            "480",
            "--fps",
            "30000/1001",
            "--start",
            "1:05",
            "--strength",
            "0.5",
            "-o",
            "out.mp4",
            "--preserve-color",
        ]
    )
    assert source == "in.mp4"
    assert options.style == ["a.jpg:0.7", "b.jpg", "c.jpg"]
    assert (options.size, options.fps, options.start) == (480, Fraction(30000, 1001), 65.0)
    assert (options.strength, options.output, options.preserve_color) == (0.5, ["out.mp4"], True)


def test_words_win_over_the_config_file(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("size: 240\nstrength: 0.3\nstyle: [x.jpg]\n")
    _, options = parse(["in.mp4", "--config", str(config), "--size", "480"])
    assert (options.size, options.strength, options.style) == (480, 0.3, ["x.jpg"])


def test_numbers_of_a_config_are_what_they_are_on_the_command_line(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("keyframes: 1:10\nstart: 1:05\nsize: 0720\nstrength: 0.5\nquality: 18\n")
    _, options = parse(["in.mp4", "--config", str(config)])
    assert (options.keyframes, options.start, options.size) == ((70.0,), 65.0, 720)
    assert options.keyframes
    assert isinstance(options.keyframes[0], float)  # a time: a whole number is that of a frame
    assert (options.strength, options.quality) == (0.5, 18)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("file:///a/b%20c.mp4", "/a/b c.mp4"),
        ("file://localhost/a.mp4", "/a.mp4"),
        ("file:a%20b.mp4", "a%20b.mp4"),
        ("a.mp4", "a.mp4"),
        ("rtsp://host/file:", "rtsp://host/file:"),
    ],
)
def test_addresses_of_files_are_paths(text: str, path: str) -> None:
    source, options = parse([text, "-o", text])
    assert (source, options.output) == (path, [path])


def test_the_shipped_config_states_the_defaults() -> None:
    assert build(StreamOptions, read_yaml(DEFAULTS)) == StreamOptions()
    assert {k.replace("-", "_") for k in read_yaml(DEFAULTS)} == set(
        StreamOptions.__dataclass_fields__
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("in.mp4 --stile a.jpg", "did you mean --style"),
        ("in.mp4 --size small", "not a whole number"),
        ("in.mp4 --size 3", "below 16"),
        ("in.mp4 --strength 2", "between 0 and 1.5"),
        ("in.mp4 --fps 0", "between 0 and 1000"),
        ("in.mp4 --fps 1/0", "not valid"),
        ("in.mp4 --start yesterday", "a time is"),
        ("in.mp4 --stylizers 0", "below 1"),
        ("in.mp4 --decode cuda", "none of software, hardware"),
        ("--size 480", "input"),
    ],
)
def test_mistakes_on_the_command_line(words: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(words.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--recordings kept/", "--recordings is for the live page"),
        ("--web-token token", "--web-token is for the live page"),
        ("--web-name wall.example.org", "--web-name is for the live page"),
        ("--start 2 --end 1", "--end must come after --start"),
    ],
)
def test_what_makes_no_sense_together(words: str, message: str) -> None:
    _, options = parse(["in.mp4", "--model", "identity", *words.split()])
    with pytest.raises(ConfigError, match=message):
        check_options(options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("strenght: 1", "did you mean strength"),
        ("size: [", "is not YAML"),
        ("just words", "must hold"),
        ("overwrite: maybe", "true or false"),
        ("size: {a: 1}", "not valid"),
    ],
)
def test_mistakes_in_a_config_file(tmp_path: Path, text: str, message: str) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(text)
    with pytest.raises(ConfigError, match=message):
        parse(["in.mp4", "--config", str(config)])


def test_a_missing_config_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"cannot read the config nowhere\.yaml"):
        parse(["in.mp4", "--config", "nowhere.yaml"])


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("clip.mov", "clip_identity.mp4"),
        ("100%d.mp4", "100%d_identity.mp4"),
        ("100%.png", "100__identity.png"),
        ("Film: part 1.mp4", "./Film: part 1_identity.mp4"),
        ("./Film: part 1.mp4", "./Film: part 1_identity.mp4"),
        ("test:frames=2", "test_identity.mp4"),
        ("frames", "frames_identity.mp4"),
        (".", "{parent}/home_identity.mp4"),
        ("frames/..", "{parent}/home_identity.mp4"),
        ("frames/%02d.png", "frames/frames_identity.mp4"),
        ("*.png", "home_identity.mp4"),
    ],
)
def test_outputs_are_named_after_their_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, output: str
) -> None:
    home = tmp_path / "home"
    (home / "frames").mkdir(parents=True)
    monkeypatch.chdir(home)
    for name in ("clip.mov", "100%d.mp4", "100%.png", "Film: part 1.mp4"):
        Path(name).touch()
    _, options = parse([source, "--model", "identity"])
    assert default_output(source, options) == output.format(parent=tmp_path)


@pytest.mark.parametrize("option", ["output", "style", "mask", "report"])
def test_an_empty_name_is_none(option: str) -> None:
    with pytest.raises(ConfigError, match=f"--{option}: '' is not valid: it is empty"):
        parse(["in.mp4", f"--{option}", ""])


def test_an_empty_input_is_no_folder() -> None:
    source, options = parse(["", "--model", "identity"])
    with pytest.raises(ConfigError, match="is empty"):
        films_of(source, options)
    with pytest.raises(ConfigError, match="is empty"), planned(source, options):
        pass


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_numbers_are_finite(number: str) -> None:
    with pytest.raises(ConfigError, match=r"--strength: .*(no number|not valid|below|above)"):
        parse(["in.mp4", "--style", "a.jpg", f"--strength={number}"])
