"""Engines: all paint the same picture; what they keep on disk is checked; `auto` says why."""

import json
import os
import shutil
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT, Run
from fresh import weights

import models
from engines import Engine, cache, choice, load_engine, undecided
from engines.sparing import shortage
from engines.undecided import UndecidedEngine

GRAPHS = ("onnx", "openvino")


@pytest.fixture(scope="module")
def torch_engine() -> Engine:
    return load_engine("compact", "cpu", kind="torch")


@pytest.fixture(scope="module", params=GRAPHS)
def engine(request: pytest.FixtureRequest) -> Engine:
    return load_engine("compact", "cpu", kind=request.param)


def style(name: str) -> np.ndarray:
    return cv2.imread(str(ROOT / f"styles/{name}.jpg"), cv2.IMREAD_COLOR_RGB)


def frame(height: int, width: int, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)[None]


def apart(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    assert a.dtype == b.dtype == np.uint8
    return int(np.abs(a.astype(int) - b).max())


@pytest.mark.parametrize("size", [(64, 64), (16, 16), (17, 31), (90, 160), (161, 47)])
def test_graphs_paint_what_torch_paints(
    engine: Engine, torch_engine: Engine, size: tuple[int, int]
) -> None:
    x = frame(*size)
    for strength, keep_color in ((1.0, False), (0.4, True), (1.5, False)):
        ours, theirs = (
            e(x, e.encode_style(style("wave")), strength, keep_color)
            for e in (engine, torch_engine)
        )
        assert apart(ours, theirs) <= 1


@pytest.mark.parametrize("kind", GRAPHS)
def test_a_device_that_is_not_there_is_refused(kind: str) -> None:
    for device in ("cuda", "mps"):
        with pytest.raises(ValueError, match=r"has no CUDA|runs on the CPU"):
            load_engine("compact", device, kind=kind)


def test_a_style_is_swapped_and_mixed_between_two_frames(
    engine: Engine, torch_engine: Engine
) -> None:
    x = np.concatenate([frame(48, 64), frame(48, 64, seed=1)])
    painted = []
    for e in (engine, torch_engine):
        codes = [e.encode_style(style(name)) for name in ("wave", "mosaic")]
        codes.append(e.mix(codes, [0.3, 0.7]))
        painted.append([e(x, code, 1.0, False) for code in codes])
    for ours, theirs in zip(*painted, strict=True):
        assert apart(ours, theirs) <= 1
    assert apart(painted[0][0], painted[0][1]) > 20


def test_a_saved_code_serves_every_engine(engine: Engine, torch_engine: Engine) -> None:
    code = {name: t.numpy() for name, t in torch_engine.encode_style(style("ink")).items()}
    x = frame(64, 64)
    ours, theirs = (e(x, e.encode_style(code), 1.0, False) for e in (engine, torch_engine))
    assert apart(ours, theirs) <= 1


@pytest.fixture
def kept(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own that holds the graph of `compact`, which takes long to make."""
    mine = f"compact-{models.fingerprint('compact')}-{cache.code_version()}*"
    for path in cache.folder().glob(mine):
        shutil.copy(path, tmp_path)
    monkeypatch.setenv("STYLESTREAM_CACHE", str(tmp_path))
    return tmp_path


def test_damaged_graphs_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLESTREAM_CACHE", str(tmp_path / "cache"))
    # The one whose graphs are the smallest.
    name = weights(tmp_path, "adaattn", levels=[3], width=0.0625)
    load_engine(name, "cpu", kind="onnx")
    graphs = list((tmp_path / "cache").glob("*.onnx"))
    assert len(graphs) == 2
    for graph in graphs:
        sound = graph.read_bytes()
        graph.write_bytes(sound[:1000] + b"tampered" + sound[1008:])
    painted = load_engine(name, "cpu", kind="onnx")
    assert not any(b"tampered" in graph.read_bytes()[:2000] for graph in graphs)
    code = painted.encode_style(style("wave"))
    assert painted(frame(32, 32), code, 1.0, False).std() > 1


@pytest.mark.parametrize("engine", ["openvino"], indirect=True)
def test_what_openvino_compiled_for_a_size_is_kept(kept: Path) -> None:
    def painted() -> np.ndarray:
        fresh = load_engine("compact", "cpu", kind="openvino")
        return fresh(frame(32, 41), fresh.encode_style(style("wave")), 1.0, False)

    first = painted()
    (made,) = kept.glob("*-48x32-*.openvino")
    written = made.stat().st_mtime_ns
    assert (painted() == first).all()
    assert made.stat().st_mtime_ns == written
    made.write_bytes(b"tampered")
    assert (painted() == first).all()
    assert made.read_bytes() != b"tampered"


@pytest.mark.parametrize("engine", ["openvino"], indirect=True)
def test_bfloat16_paints_nearly_the_same_or_is_refused(engine: Engine) -> None:
    """Smooth frames and dark lines are the hardest: see engines/bearing.py."""
    import openvino  # after engines/, which keeps it from sending anything

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(ValueError, match="no bfloat16"):
            load_engine("compact", "cpu", kind="openvino-bf16")
        return
    halved = load_engine("compact", "cpu", kind="openvino-bf16")
    assert halved.fingerprint != engine.fingerprint
    smooth = frame(192, 192) // 4 + 96
    for name, strength in (("ink", 1.0), ("ink", 0.5), ("wave", 1.0)):
        ours, theirs = (
            e(smooth, e.encode_style(style(name)), strength, False) for e in (halved, engine)
        )
        assert choice.psnr_db(ours, theirs) >= choice.LEAST_DB
        assert apart(ours, theirs) > 0


@pytest.mark.parametrize("engine", ["onnx"], indirect=True)
def test_auto_takes_the_fastest_and_keeps_to_it(kept: Path) -> None:
    first = choice.taken("compact", "cpu", 1)
    (kept_choice,) = kept.glob("choice-*.json")
    record = json.loads(kept_choice.read_text())
    assert first.why == record["why"]
    assert record["engine"] in first.why
    assert all(kind in first.why for kind in ("torch", *GRAPHS, "openvino-bf16"))
    written = kept_choice.stat().st_mtime_ns
    assert load_engine("compact", "cpu", 1, "auto").fingerprint == first.fingerprint
    assert kept_choice.stat().st_mtime_ns == written


def swap(beside: UndecidedEngine, code: object) -> list[np.ndarray]:
    """Two frames before it knows, and one after."""
    x = frame(48, 64)
    painted = [beside(x, code, 0.7, True) for _ in range(2)]
    beside.settle()
    return [*painted, beside(x, code, 0.7, True)]


@pytest.mark.parametrize("engine", ["onnx"], indirect=True)
def test_auto_paints_at_once_and_gives_way_to_the_fastest(
    kept: Path, torch_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes and mixes that were made before it hold on."""
    monkeypatch.setattr(undecided, "WORTH_S", 0)
    beside = load_engine("compact", "cpu", 1, "auto")
    assert isinstance(beside, UndecidedEngine)
    made = [beside.encode_style(style(name)) for name in ("ink", "wave")]
    code = beside.mix(made, [1, 2])
    first, then, last = swap(beside, code)
    wanted = torch_engine(frame(48, 64), code, 0.7, True)
    assert (first == wanted).all()
    assert (then == wanted).all()
    (record,) = (json.loads(path.read_text()) for path in kept.glob("choice-*.json"))
    assert beside.why == record["why"]
    if record["engine"] == "torch":
        assert (last == wanted).all()
    else:
        fastest = load_engine("compact", "cpu", 1, record["engine"])
        code = fastest.encode_style({name: tensor.numpy() for name, tensor in code.items()})
        assert (last == fastest(frame(48, 64), code, 0.7, True)).all()


def test_torch_paints_on_where_nothing_can_be_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLESTREAM_CACHE", str(tmp_path))
    beside = load_engine("compact", "cpu", 1, "auto")
    assert isinstance(beside, UndecidedEngine)
    monkeypatch.setattr(undecided, "WORTH_S", 0)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    first, _, last = swap(beside, beside.encode_style(style("ink")))
    assert (first == last).all()
    assert beside.why.startswith("engine torch: no other can be tried (")


def test_torch_paints_on_where_the_fastest_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever it is, it fails at the second frame that it gets."""

    class Failing:
        batch, why = 4, "engine failing: 1 ms"
        calls = 0

        def __call__(self, frames: np.ndarray, *about: object) -> np.ndarray:
            self.calls += 1
            if self.calls > 1:
                raise RuntimeError("a fault in the hardware\nsomewhere")
            return frames

    found = {"engine": "failing", "device": "cpu", "why": "engine failing: 1 ms"}
    monkeypatch.setattr(undecided, "WORTH_S", 0)
    monkeypatch.setattr(undecided, "tried", lambda *_: found)
    monkeypatch.setattr(undecided, "make_engine", lambda *_: Failing())
    beside = undecided.UndecidedEngine("compact", "cpu", 1)
    first, _, last = swap(beside, beside.encode_style(style("ink")))
    assert (first == last).all()
    assert beside.why == "engine torch paints on: a fault in the hardware"
    assert beside.batch == 1


def test_an_engine_that_fails_while_it_is_timed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tiring:
        def __init__(self, lasts: int) -> None:
            self._left = lasts

        def encode_style(self, style: object) -> object:
            return None

        def __call__(self, frames: np.ndarray, *about: object) -> np.ndarray:
            self._left -= 1
            if not self._left:
                raise MemoryError("no more")
            return frames

    monkeypatch.setenv("STYLESTREAM_CACHE", str(tmp_path))
    monkeypatch.setattr(choice, "BUDGET_S", 0.0)
    monkeypatch.setattr(
        choice, "make_engine", lambda kind, *_: Tiring(1000 * (kind == "torch") + 3)
    )
    taken = choice.known("compact", "cpu", None)
    assert taken["engine"] == "torch"
    assert "onnx: no more" in taken["why"]


LEAVES = """
import os, time
import numpy as np
from pathlib import Path
from engines import load_engine, undecided
undecided.WORTH_S = 0
engine = load_engine("compact", "cpu", 1, "auto")
code = engine.encode_style(np.zeros((64, 64, 3), np.uint8))
def children():
    return "".join(path.read_text() for path in Path("/proc/self/task").glob("*/children"))
while not children():
    engine(np.zeros((1, 32, 32, 3), np.uint8), code, 1.0, False)
print(children(), flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_nothing_is_tried_for_who_is_gone(tmp_path: Path) -> None:
    env = os.environ | {"STYLESTREAM_CACHE": str(tmp_path)}
    words = [sys.executable, "-c", LEAVES]
    told = subprocess.run(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True).stdout
    child = int(told)
    for _ in range(200):
        try:
            if "Z (zombie)" in Path(f"/proc/{child}/status").read_text():
                return
        except FileNotFoundError:
            return
        time.sleep(0.05)
    pytest.fail("it goes on")


@pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU is there")
@pytest.mark.parametrize("engine", ["onnx"], indirect=True)
def test_auto_measures_anew_where_the_device_is_gone(kept: Path) -> None:
    record = kept / choice.record("compact", "cpu", 1)
    gone = json.dumps({"engine": "cuda", "device": "cuda:0", "why": "engine cuda: 2 ms"})
    record.write_text(gone)
    record.with_name(f"{record.name}.sha256").write_text(sha256(gone.encode()).hexdigest())
    assert isinstance(load_engine("compact", "cpu", 1, "auto"), UndecidedEngine)
    assert not record.exists()


def test_auto_does_without_runtimes_that_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that was built for another processor, at whatever point it fails."""

    class Broken:
        def encode_style(self, style: object) -> object:
            raise RuntimeError("illegal instruction\nin a library")

    made = choice.make_engine

    def make(kind: str, *about: object) -> object:
        return made(kind, *about) if kind == "torch" else Broken()

    monkeypatch.setenv("STYLESTREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(choice, "make_engine", make)
    engine = choice.taken("compact", "cpu", 1)
    assert engine.why.startswith("engine torch:")
    assert "onnx: illegal instruction, openvino: illegal instruction" in engine.why


@pytest.mark.parametrize("built", [True, False])
def test_auto_takes_tensorrt_once_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, built: bool
) -> None:
    class Fake:
        why = "engine torch: no tensorrt (it says no)"

        def __init__(self, frame_s: float) -> None:
            self._frame_s = frame_s

        def encode_style(self, style: object) -> object:
            return None

        def __call__(self, frames: np.ndarray, *about: object) -> np.ndarray:
            time.sleep(self._frame_s)
            return frames

        def settle(self) -> bool:
            return built

    paces = {"torch": 0.02, "tensorrt": 0.002, "cuda": 0.01}
    monkeypatch.setenv("STYLESTREAM_CACHE", str(tmp_path))
    monkeypatch.setattr("engines.pytorch.pick_device", lambda _: "cuda:0")
    monkeypatch.setattr(choice, "installed", lambda: {"tensorrt": "torch"})  # some package
    monkeypatch.setattr(choice, "make_engine", lambda kind, *_: Fake(paces[kind]))
    taken = choice.known("compact", "cuda", None)
    assert taken["engine"] == ("tensorrt" if built else "cuda")
    assert ("it says no" in taken["why"]) != built


def test_a_choice_is_of_all_gpus_whichever_a_stylizer_may_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray shows each stylizer of a film another; hidden ones are of no use to any."""
    monkeypatch.setattr(choice, "graphics", lambda: ["Model: two of them"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    every, without = (choice.record("compact", device, 1) for device in ("cuda", "cpu"))
    for shown in ("0", "1", "0,1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
        assert choice.record("compact", "cuda", 1) == every
    hidden = set()
    for none in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        hidden.add(choice.record("compact", "cuda", 1))
        assert choice.record("compact", "cpu", 1) == without
    assert len(hidden - {every}) == 1


def test_a_choice_is_for_the_code_of_all_engines(tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(ROOT / "models")
    shutil.copytree(ROOT / "engines", tmp_path / "engines")
    code = "from engines import cache, choice; print(choice.record('compact', 'cpu', 1)); "
    code += "print(cache.code_version())"

    def told() -> list[str]:
        words = [sys.executable, "-c", code]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.split()

    before = told()
    with (tmp_path / "engines/onnx.py").open("a") as file:
        file.write("# faster now")
    after = told()
    assert after[0] != before[0]
    assert after[1] == before[1]  # no graph is made anew for it


def test_a_fault_in_the_gpu_is_no_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="illegal"), shortage():
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nSee the logs.")
    with pytest.raises(MemoryError, match="out of memory"), shortage():
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")


def test_cudnn_without_room_for_its_workspace_is_a_lack_of_memory() -> None:
    with pytest.raises(MemoryError, match="GET was unable"), shortage():
        raise RuntimeError("GET was unable to find an engine to execute this computation")


def test_auto_does_without_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("STYLESTREAM_CACHE", str(tmp_path / "file/below"))
    engine = load_engine("compact", "cpu", kind="auto")
    assert engine.why.startswith("engine torch: the cache cannot be written")


USE = """
import sys
import numpy as np
from engines import load_engine
engine = load_engine("compact", kind=sys.argv[1])
code = engine.encode_style(np.zeros((64, 64, 3), np.uint8))
engine(np.zeros((1, 64, 64, 3), np.uint8), engine.mix([code, code], [1, 2]), 1.0, False)
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize("kind", GRAPHS)
def test_a_graph_does_without_torch(kind: str) -> None:
    load_engine("compact", "cpu", kind=kind)
    subprocess.run([sys.executable, "-c", USE, kind], cwd=ROOT, check=True)


def test_a_model_whose_codes_hold_pictures_has_no_graph(tmp_path: Path) -> None:
    path = weights(tmp_path, "stya2k", width=0.0625)
    with pytest.raises(ValueError, match="only torch runs it"):
        load_engine(path, "cpu", kind="onnx")
    assert "hold whole pictures" in choice.taken(path, "cpu", None).why


def test_cosine_adaattn_has_a_graph(cosine: str) -> None:
    x = frame(50, 70)
    a, b = (
        e(x, e.encode_style(style("wave")), 1.0, False)
        for e in (load_engine(cosine, "cpu", kind=kind) for kind in ("torch", "onnx"))
    )
    assert apart(a, b) <= 1


def test_the_command_takes_an_engine_and_says_it(paint: Run, tmp_path: Path) -> None:
    words = ("test:size=64x48,frames=3", "--style", ROOT / "styles/wave.jpg", "-o")
    for kind in ("torch", "auto"):
        done = paint(*words, f"{tmp_path / kind}/", "--engine", kind)
        assert done.returncode == 0, done.stderr
        assert ("note: engine" in done.stderr) == (kind == "auto")
    a, b = (cv2.imread(str(tmp_path / kind / "000002.png")) for kind in ("torch", "auto"))
    assert choice.psnr_db(a, b) >= choice.LEAST_DB
    wrong = paint(*words, f"{tmp_path}/x/", "--engine", "onxn")
    assert wrong.returncode == 2
    assert "did you mean onnx?" in wrong.stderr
    assert len(wrong.stderr.splitlines()) == 1


@pytest.mark.parametrize("module", ["engines.onnx", "engines.openvino", "export.calibration"])
def test_no_runtime_calls_its_maker(module: str, tmp_path: Path) -> None:
    """Neither keeps a number for the machine, nor has what would send it."""
    code = f"import {module}, sys; import openvino; assert not sys.modules['openvino_telemetry']"
    subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"HOME": str(tmp_path)}, check=True
    )
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_measured_for_a_single_picture(
    paint: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLESTREAM_CACHE", str(tmp_path / "cache"))
    cv2.imwrite(str(tmp_path / "a.png"), frame(48, 64)[0])
    done = paint(tmp_path / "a.png", "--style", ROOT / "styles/wave.jpg", "-o", tmp_path / "b.png")
    assert done.returncode == 0, done.stderr
    assert cv2.imread(str(tmp_path / "b.png")).shape == (48, 64, 3)
    assert "fastest" not in done.stderr
    assert not list(tmp_path.glob("cache/choice-*"))
