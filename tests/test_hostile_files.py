"""Weights, style codes, caches, configs and names from strangers: one line each, nothing is run,
nothing is written where it was not asked for."""

import json
import os
import pickle
import string
import struct
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT, Run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from safetensors.numpy import save_file

import models
from engines import cache, check_code, load_engine
from models import codes
from pipeline.errors import ConfigError, EngineError, StreamError
from pipeline.options import build, read_yaml
from pipeline.plan import check_options, planned
from pipeline.pool import FramePool
from pipeline.request import StreamOptions
from pipeline.sinks import SinkOptions, open_sink, prepare
from pipeline.sources import open_source
from pipeline.stylizer import Look, Stylizer
from pipeline.timeline import Span, Timeline

WAVE = ROOT / "styles" / "wave.jpg"


class Runs:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def header(words: dict[str, Any] | bytes, size: int | None = None) -> bytes:
    """A safetensors file without tensors' bytes."""
    text = words if isinstance(words, bytes) else json.dumps(words).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text


def hostile_weights(folder: Path) -> dict[str, bytes]:
    """Files that are handed out as weights."""
    large = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}
    beside = {"dtype": "F32", "shape": [4], "data_offsets": [-16, 0]}
    about: dict[str, Any] = {"model": "adaattn"}
    found = {
        "pickle.safetensors": pickle.dumps(Runs(folder / "ran")),
        "empty.safetensors": b"",
        "short.safetensors": b"\x10",
        "long_header.safetensors": header(b"{}", 2**62),
        "claims.safetensors": header({"w": large}),
        "outside.safetensors": header({"w": beside}),
        "list.safetensors": header(b"[]"),
        "deep.safetensors": header(b"[" * 100_000),
        "zip.safetensors": b"PK\x03\x04" + bytes(100),
        "weights.engine": b"ftrt" + bytes(100),
        "weights.onnx": b"\x08\x07" + bytes(100),
    }
    for i, options in enumerate(
        ("[1]", "{", '"x"', '{"width": 1e9}', '{"width": -1}', '{"width": 1e400}', '{"x": 1}')
    ):
        words = {"__metadata__": about | {"model_options": options}}
        found[f"options{i}.safetensors"] = header(words)
    for i, name in enumerate(("../pipeline/cli", "os", "compact.build", "__init__", "")):
        found[f"model{i}.safetensors"] = header({"__metadata__": {"model": name}})
    return found


def test_hostile_weights_are_refused_and_run_nothing(tmp_path: Path) -> None:
    for name, data in hostile_weights(tmp_path).items():
        path = tmp_path / name
        path.write_bytes(data)
        began = time.monotonic()
        with pytest.raises(ValueError, match=r".") as caught:
            models.load(path)
        assert "\n" not in str(caught.value).strip(), name
        assert time.monotonic() - began < 10, name
    assert not (tmp_path / "ran").exists()
    torch.save({"a": Runs(tmp_path / "ran")}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="must first become one of ours"):
        models.load(tmp_path / "a.pth")
    assert not (tmp_path / "ran").exists()


def look(code: Path) -> Look:
    """One style code with the shipped model."""
    arrays = codes.read(code, "compact")
    line = Timeline([(Span(), 1.0)])
    return Look(
        "compact", "cpu", [arrays], [str(code)], line, [], 1.0, False, 1, "torch"
    )  # fmt: skip


def test_foreign_style_codes_are_refused(tmp_path: Path) -> None:
    own = load_engine("compact", "cpu").encode_style(np.zeros((64, 64, 3), np.uint8))
    whole = {name: values.numpy() for name, values in own.items()}
    about = {codes.KEY: models.fingerprint("compact"), "model": "compact"}
    first = next(iter(whole))
    wrong: dict[str, dict[str, np.ndarray]] = {
        "none": {},
        "fewer": {k: v for k, v in whole.items() if k != first},
        "more": whole | {"more": np.zeros(1, np.float32)},
        "larger": whole | {first: np.zeros((1, 5, 7), np.float32)},
        "whole": {k: v.astype(np.int64) for k, v in whole.items()},
        "double": {k: v.astype(np.float64) for k, v in whole.items()},
        "nan": whole | {first: whole[first] * np.nan},
    }
    pool = FramePool.create(2, 48, 64)
    with closing(pool):
        for name, arrays in wrong.items():
            path = tmp_path / f"{name}.style"
            save_file(arrays, path, about | {"sha256": codes.digest(arrays)})
            with pytest.raises((ValueError, EngineError), match=r"style|code|damaged"):
                Stylizer(pool.handle, look(path)).open()
        path = tmp_path / "right.style"
        codes.write(path, whole, "compact")
        Stylizer(pool.handle, look(path)).open()
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is damaged"):
        codes.read(path, "compact")


def test_codes_that_hold_a_picture_must_fit_but_for_its_size() -> None:
    engine = load_engine("stya2k", "cpu")
    own = engine.encode_style(np.zeros((96, 128, 3), np.uint8))
    whole = {name: values.numpy() for name, values in own.items()}
    check_code(engine, whole)
    key = next(name for name in whole if whole[name].ndim > 1)
    for part in (whole[key][:, :1], whole[key][..., :0]):
        with pytest.raises(ValueError, match="does not hold what this model needs"):
            check_code(engine, whole | {key: part})


def test_a_cache_that_others_can_write_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLESTREAM_CACHE", str(tmp_path / "made"))
    assert cache.folder().stat().st_mode & 0o777 == 0o700
    (tmp_path / "made").chmod(0o777)
    with pytest.raises(OSError, match="others can write"):
        cache.folder()


def test_a_planted_graph_is_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLESTREAM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "secret").write_bytes(bytes(range(64)))
    planted = external(tmp_path)
    made = []

    def make(path: Path) -> None:
        made.append(path)
        path.write_bytes(b"our own")

    for place, digest in enumerate((None, "", "0" * 64)):
        name = f"graph{place}.onnx"
        (cache.folder() / name).write_bytes(planted)
        if digest is not None:
            (cache.folder() / f"{name}.sha256").write_text(digest)
        assert cache.obtain(name, make).read_bytes() == b"our own"
    assert len(made) == 3
    path = tmp_path / "planted.onnx"
    path.write_bytes(planted)
    with pytest.raises(ValueError, match="not a weights file"):
        load_engine(str(path), "cpu", kind="onnx")


def external(folder: Path) -> bytes:
    """A graph whose numbers lie in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[16])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=str(folder / "secret"))
    out = helper.make_tensor_value_info("w", TensorProto.FLOAT, [16])
    graph = helper.make_graph([], "g", [], [out], [tensor])
    return onnx.ModelProto.SerializeToString(helper.make_model(graph))


NAMES = [
    "../%06d.png/..", "%d%d.png", "%s.png", "%d%s.png", "%99999999d.png", "%%d.png", "%d%n.png",
    "%(x)d.png", "%d%.png", "%c%d.png", "a\0b.mp4", "a\0%d.png", "x" * 300 + ".mp4", "x" * 5000,
    "x" * 300 + "/a.mp4", "a.mp4/", "a/../../b", "con", "-o", "--overwrite", ".", "..", "",
    " ", "a.exe", "a.sh", "\u202e4pm.py", "a\nb", "nosuch:a", "file:a.mp4", "pipe:1", "concat:a|b",
    "tee:a.mp4", "/dev/null", "/dev/full", "data:a", "crypto:a.mp4", "{__class__}",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_awkward_outputs_write_nothing_elsewhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "in" / "side"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    options = StreamOptions(model="identity", output=[name] if name else [])
    try:
        with planned("test:size=64x48,frames=2", options) as plan:
            for text in plan.sinks:
                with open_sink(text, plan.info, SinkOptions()) as sink:
                    sink.finish()
    except StreamError as error:
        assert str(error)  # noqa: PT017
    # A folder that the name itself spells out may have been made, and nothing in it.
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_planned_output_takes_one_number(tmp_path: Path) -> None:
    prepare(str(tmp_path / "a_%06d.png"))
    for name in ("%d_%d.png", "%d%s.png", "%999999999d.png"):
        with pytest.raises(StreamError):
            prepare(str(tmp_path / name))


def test_awkward_inputs_get_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")  # what lies around is not for this test
    more = ("test:rate=1e999999999", "test:size=9999999999x1", "%" * 50, "webcam:/")
    for name in (*NAMES, *more):
        options = StreamOptions(model="identity", output=["null:"])
        with pytest.raises(StreamError), planned(name, options):
            pass


OPTIONS = st.sampled_from([*StreamOptions.__dataclass_fields__, "stile", "Size", "", "__class__"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.text(string.digits + ".:/esx-@", max_size=12)
    | st.binary(max_size=5)
    | st.dates()
    | st.sampled_from(["1e999999999", "9" * 5000, "1/0", "0/0", "inf", "nan", "1:60:99999999999"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@settings(max_examples=500, deadline=5000, derandomize=True, database=None)
@given(st.dictionaries(OPTIONS, VALUES, max_size=4))
def test_any_values_make_options_or_one_line(values: dict[str, Any]) -> None:
    try:
        check_options(build(StreamOptions, values))
    except ConfigError as error:
        assert len(str(error)) < 600  # noqa: PT017


@settings(
    max_examples=500,
    deadline=5000,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(str.encode)
    | st.text(" \n:-[]{}&*!|>'\"#%@`,?0aeé~", max_size=80).map(str.encode)
)
def test_any_bytes_are_a_config_or_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(data)
    try:
        build(StreamOptions, read_yaml(path))
    except ConfigError as error:
        assert str(error).count("\n") == 0  # noqa: PT017


LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nsize: *c\n"


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        "[" * 3000,
        "{a: " * 3000,
        "size: 2024-13-45",
        "size: " + "1" * 5000,
        "size: &a [*a]",
        "fps: 1e999999999",
        "start: " + "9" * 400,
        "style: {a: 1}",
        "size: true",
        "size: 480.5",
        "stylizers: 1000000000",
        '"\\0": 1',
        'output: "a\\0b"',
        "? [a, b]\n: 1",
        "!!python/object/apply:os.mkdir [ran]",
        "size: !!python/name:os.system",
        "x" * (2 << 20),
    ],
    ids=range(18),
)
def test_hostile_configs_get_one_line(text: str, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(text)
    began = time.monotonic()
    with pytest.raises(ConfigError):
        build(StreamOptions, read_yaml(config))
    assert time.monotonic() - began < 5
    assert [p.name for p in tmp_path.iterdir()] == ["c.yaml"]


def test_the_command_refuses_strangers_in_one_line(paint: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("ffconcat version 1.0\nfile /etc/hostname\n")
    done = paint(bad, "--model", "identity", "-o", tmp_path / "out.mp4")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["bad.mp4"]


def test_sources_that_are_damaged_beyond_their_header(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv", ".png", ".ts"):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(os.urandom(4096))
        with pytest.raises(StreamError):
            open_source(str(path))
