"""The house: who may import whom, and what stands where."""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGES = (
    *("models", "engines", "pipeline", "training", "evaluation", "export", "benchmarks", "demo"),
    "web",
)
ALLOWED = {
    "models": set(),
    "engines": {"models"},
    "pipeline": {"models", "engines"},
    "training": {"models", "engines", "pipeline"},
    "evaluation": {"models", "engines", "pipeline", "training"},
    "export": {"models", "engines", "pipeline", "evaluation"},
    "benchmarks": {"models", "engines", "pipeline", "evaluation"},
    "demo": {"pipeline"},
    "web": {"models", "pipeline"},
}
# Heavy libraries and the only places that may name them.
HOMES = {
    "ray": {"pipeline/cluster.py", "pipeline/supervision.py", "training/workers.py"},
    "torch": {"models", "engines", "training", "evaluation", "export", "benchmarks"},
    "pickle": set(),
}


def imports(path: Path) -> set[str]:
    """Top-level names that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    for path in files(package):
        ours = imports(path) & set(PACKAGES) - {package}
        assert ours <= ALLOWED[package], f"{path} imports {ours - ALLOWED[package]}"


@pytest.mark.parametrize("library", HOMES)
def test_heavy_libraries_stay_at_home(library: str) -> None:
    for package in PACKAGES:
        for path in files(package):
            here = path.relative_to(ROOT).as_posix()
            if library in imports(path):
                assert here in HOMES[library] or package in HOMES[library], here


def test_media_are_opened_for_reading_in_one_place() -> None:
    for path in files("pipeline"):
        text = path.read_text()
        if path.name != "opening.py":
            calls = [line for line in text.splitlines() if "av.open(" in line]
            assert all('"w"' in line or "mode=" in line for line in calls), path


def test_weights_are_loaded_without_pickle() -> None:
    for package in PACKAGES:
        for path in files(package):
            for line in path.read_text().splitlines():
                assert "torch.load(" not in line or "weights_only=True" in line, path
