"""python -m benchmarks [NAME ...]: speed and memory as ratios, all taken in this one run."""

import sys

from benchmarks import (
    attention,
    dynast,
    engines,
    latency,
    memory,
    nnst,
    scale,
    stream,
    systems,
    transport,
)

ALL = {
    "stream": stream.measure,
    "latency": latency.measure,
    "transport": transport.measure,
    "memory": memory.measure,
    "scale": scale.measure,
    "attention": attention.measure,
    "dynast": dynast.measure,
    "systems": systems.measure,
    "engines": engines.measure,
    "nnst": nnst.measure,
}


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; print one table row for each figure."""
    if {"-h", "--help"} & {*names}:
        print(f"{__doc__}\n\nNAME: {', '.join(ALL)}; none: all of them")
        return 0
    unknown = [n for n in names if n not in ALL]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}: there is {', '.join(ALL)}", file=sys.stderr)
        return 2
    print(f"{'figure':58}{'measured':>12}  {'wanted, or what else was measured'}")
    for name in names or ALL:
        for row in ALL[name]():
            print(f"{row.figure:58}{row.value:>12.3g}  {row.wanted}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
