"""What moving a frame through the three processes costs, with a model that does nothing."""

from collections.abc import Iterator

from benchmarks import Row, pace, paint


def measure() -> Iterator[Row]:
    """Identity at 1080p from the synthetic source to nowhere."""
    report = paint("test:size=1920x1080,frames=3000", "--model", "identity", "-o", "null:")
    yield Row("1080p through reader, stylizer, writer, ms a frame", 1000 / pace(report), "< 2")
