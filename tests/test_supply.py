"""What is installed: floors below which holes are known, and one list of tested versions."""

import tomllib

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ABOUT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = ABOUT["optional-dependencies"]
WANTED = [
    Requirement(line)
    for lines in (ABOUT["dependencies"], *(EXTRAS[name] for name in ("train", "test", "check")))
    for line in lines
]
PINS = {
    canonicalize_name(pin.name): next(iter(pin.specifier)).version
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if not line.startswith("#")
    for pin in [Requirement(line)]
}


@pytest.mark.parametrize(
    ("name", "hole"),
    [
        ("torch", "2.9.9"),  # weights_only=True runs code, or spoils memory
        ("ray", "2.59.9"),  # ports without a token
        ("onnx", "1.20.9"),  # external data read and written anywhere
        ("pillow", "12.1.9"),  # pictures that unpack without end
    ],
)
def test_versions_with_known_holes_are_left_out(name: str, hole: str) -> None:
    (wanted,) = [r for r in WANTED if r.name == name and not r.extras]
    assert not wanted.specifier.contains(hole)
    assert Version(PINS[name]) > Version(hole)


@pytest.mark.parametrize(
    ("name", "hole"),
    [
        ("aiohttp", "3.13.2"),  # bodies that unpack without end, requests smuggled in
        ("cryptography", "44.0.0"),  # an OpenSSL that takes any raw public key
        ("filelock", "3.20.2"),  # a link put in place of the lock
        ("idna", "3.6"),  # names that take for ever
        ("jinja2", "3.1.5"),  # out of the sandbox
        ("opencv-python-headless", "4.8.1.77"),  # WebP written beyond its memory
        ("protobuf", "6.31.0"),  # messages nested without end
        ("requests", "2.32.3"),  # passwords of .netrc for another host
        ("tqdm", "4.66.2"),  # options evaluated
        ("urllib3", "2.6.2"),  # bodies that unpack without end
        ("werkzeug", "3.1.3"),  # names of devices as paths
    ],
)
def test_what_came_along_has_none_of_these_holes(name: str, hole: str) -> None:
    assert name not in PINS or Version(PINS[name]) > Version(hole)


def test_every_package_has_a_ceiling_and_a_tested_version_within() -> None:
    for wanted in WANTED:
        if wanted.name == ABOUT["name"]:
            continue
        pin = PINS.get(canonicalize_name(wanted.name))
        assert pin is not None, f"{wanted.name} is not in constraints.txt: make lock"
        assert wanted.specifier.contains(pin), f"{wanted} and {pin}: make lock"
        typed_only = wanted.name.startswith("types-")
        assert typed_only or {"<", ">="} == {s.operator for s in wanted.specifier}, wanted
