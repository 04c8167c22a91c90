"""What the documents tell people to type is understood by the program."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from pipeline.cli import asked, chosen
from pipeline.sources import kinds
from pipeline.streams import streams_in

PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
STARTS = ("python run_stream.py ", "docker run ")


def commands(text: str) -> Iterator[str]:
    """Those that are indented or stand between fences, each as one line."""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        command = line.strip().removeprefix("$ ")
        if command.startswith(STARTS):
            yield command


FOUND = [(page.name, command) for page in PAGES for command in commands(page.read_text())]


def understood(words: list[str]) -> None:
    """ConfigError, or a style that is not there, fails the test."""
    if words == ["doctor"]:
        return
    if "--config" in words:
        words = [w for w in words if w != "--config" and not w.endswith((".yaml", ".yml"))]
        words = words or ["test:"]
    source, options = chosen(asked(words))
    scheme = source.partition(":")[0]
    assert "://" in source or ":" not in source or scheme in kinds()
    styles = [re.split(r"[:@]", style)[0] for style in options.style]
    assert all((ROOT / name).exists() for name in styles if name.startswith("styles/"))


def test_there_are_commands() -> None:
    assert len(FOUND) > 20


@pytest.mark.parametrize(("page", "command"), FOUND)
def test_every_command_is_understood(
    page: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command, comments=True)
    words = words[: words.index("&")] if "&" in words else words
    if "--engine" in words:  # it may be the folder of an export
        Path(words[words.index("--engine") + 1]).mkdir()
    is_docker = words[0] == "docker"
    understood(words[words.index("stylestream") + 1 :] if is_docker else words[2:])


def test_every_config_of_streams_is_understood() -> None:
    blocks = [b for p in PAGES for b in re.findall(r"```yaml\n(.*?)```", p.read_text(), re.S)]
    assert [streams_in(yaml.safe_load(block)) for block in blocks if "streams:" in block]


def test_the_command_and_the_config_of_the_service_are_understood(tmp_path: Path) -> None:
    unit = Path(ROOT, "deploy", "stylestream.service").read_text().replace("\\\n", "")
    (command,) = re.findall(r"ExecStart=\S+ run_stream.py (.*)", unit)
    config = tmp_path / "config.yaml"
    config.write_text("\n".join(re.findall(r"^#     (\w+: .*)", unit, re.M)))
    words = command.replace("/etc/stylestream.yaml", str(config)).split()
    source, options = chosen(asked(words))
    assert source.startswith("rtsp://")
    assert options.output
    assert options.wait_for_source
