"""python -m export MODEL --format onnx -o DIR: a model as graphs for other programs."""

import argparse
import sys

from export.options import ExportOptions
from pipeline.errors import StreamError
from pipeline.options import Parser, add_options, build

EPILOG = """examples:
  python -m export compact --format onnx -o compact_onnx/
  python -m export compact --format openvino --precision fp16 --sizes 1280x720,1920x1080
  python -m export compact --format onnx --precision int8 --clip holiday.mp4
  python -m export compact --format tensorrt --precision fp16 --sizes 1280x720

Writes `style` (picture -> code), `frame` (frame, code, strength -> painting; bytes in and out, one
graph for every style; for any size, or one for each of --sizes) and manifest.json. Fails unless
both together paint what torch paints: within 0.001 of 1 before rounding in fp32 (at most 1 level of
255 after it), 40 dB in fp16, 35 in bf16, 32 in int8, where style and content, as measured by
python -m evaluation, must also stay within 5 %. docs/engines.md shows how to run them.
"""


def main(arguments: list[str]) -> int:
    """Export and say how close it came -> exit code; every failure is one line."""
    parser = Parser(
        prog="python -m export",
        description="Writes a model for ONNX Runtime, OpenVINO or TensorRT, and proves it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", help="a model that ships, or a weights file")
    parser.add_argument("-o", dest="output", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    add_options(parser, ExportOptions)
    try:
        given = vars(parser.parse_args(arguments))
        name = given.pop("model")
        options = build(ExportOptions, given)
        # torch is imported only once the request makes sense.
        from export.write import export

        target, parity = export(name, options)
    except StreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: interrupted, nothing was written", file=sys.stderr)
        return 130
    for p in parity:
        print(f"strength {p.strength}: at most {p}")
    print(f"written: {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
