"""Damaged files by the thousand: no crash, no hang, no error but ours. `make fuzz` tries more."""

from pathlib import Path

import pytest

from pipeline.confined import confined
from tests import fuzzing


def test_a_thousand_mutants_end_in_frames_or_in_our_errors() -> None:
    assert list(fuzzing.tried(range(1000))) == []


def test_a_mutant_is_a_function_of_its_seed() -> None:
    assert fuzzing.mutant(7) == fuzzing.mutant(7)
    suffixes = {fuzzing.mutant(seed)[0] for seed in range(200)}
    assert len(suffixes) == 14


def test_what_fails_is_told_by_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three the second crashes: it is named, and the third is tried."""
    monkeypatch.setenv("FUZZ_CRASH_AT", "12")
    ((seed, why),) = fuzzing.tried([11, 12, 13])
    assert seed == 12
    assert "exit code -11" in why


@pytest.mark.parametrize("path", sorted(fuzzing.CASES.iterdir()), ids=lambda path: path.name)
def test_what_once_failed_does_so_no_more(path: Path) -> None:
    confined(path.name, fuzzing.attempt, path, wall_s=60)
