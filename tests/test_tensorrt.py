"""TensorRT: what its graphs, its cache and its calibration promise, shown without it; what becomes
of its errors, shown with a stand-in; and, where it and a GPU are there, the engine itself."""

import functools
import json
import re
import sys
from contextlib import nullcontext
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from unittest.mock import MagicMock

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import ROOT, Run
from onnx import TensorProto, helper, numpy_helper

from engines import Engine, cache, load_engine
from engines.bearing import calibrate, rehearsed
from engines.choice import scene
from engines.precision import AS_IT_IS, CENTRED, cast_bytes_first, convolutions, lower
from engines.runtime import graph
from engines.sparing import shortage
from engines.tensorrt import (
    LEAST_DB,
    PROFILES,
    Gpu,
    Plan,
    Profile,
    build,
    engine_name,
    installed_version,
    keep,
    kept,
    logger,
    pick,
)
from export.__main__ import main
from export.calibration import frames_of
from export.options import ExportOptions
from export.parity import LEAST_DB as EXPORTED_DB
from export.parity import difference
from export.tensorrt import profiles

# docs/operators.md of onnx-tensorrt for TensorRT 10.15: those with a Y.
OPERATORS = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool
    BatchNormalization BlackmanWindow Cast CastLike Ceil Celu Clip Concat Constant
    ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DeformConv DepthToSpace
    DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather
    GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
    GreaterOrEqual GridSample GroupNormalization GRU HammingWindow HannWindow HardSigmoid
    HardSwish Hardmax Identity If ImageScaler InstanceNormalization IsInf IsNaN
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop LRN LSTM LpNormalization
    LpPool MatMul Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg
    NonMaxSuppression NonZero Not OneHot Or Pad ParametricSoftplus Pow PRelu QuantizeLinear
    RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1
    ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Reshape Resize ReverseSequence RMSNormalization RNN RoiAlign
    RotaryEmbedding Round STFT ScaledTanh Scan Scatter ScatterElements ScatterND Selu Shape
    Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt
    Squeeze Sub Sum Tan Tanh TensorScatter ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze
    Upsample Where Xor
"""
SUPPORTED = set(OPERATORS.split())
STATISTICS = {"MatMul", "Pow", "Reciprocal", "ReduceL2", "ReduceMean", "ReduceSum", "Sqrt"}
CLIP = "test:size=96x64,frames=30"


def missing() -> str:
    """Why TensorRT cannot be run here, or nothing."""
    try:
        installed_version()
    except ValueError as error:
        return str(error)
    return "" if torch.cuda.is_available() else "there is no CUDA GPU"


gpu = pytest.mark.skipif(bool(missing()), reason=missing() or "TensorRT is here")
without = pytest.mark.skipif(not missing(), reason="TensorRT is here")


@pytest.fixture(scope="module", params=["compact", "cosine"])
def model(request: pytest.FixtureRequest) -> str:
    named: str = request.getfixturevalue("cosine") if request.param == "cosine" else request.param
    return named


def lowered(model: str, side: str, precision: str, **bearing: float) -> onnx.ModelProto:
    network = onnx.load(graph(model, side))
    cast_bytes_first(network)
    lower(network, precision, bearing or None)
    return network


def run(network: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    data, providers = network.SerializeToString(), ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(data, options, providers=providers)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def inputs_of(model: str, picture: np.ndarray) -> dict[str, np.ndarray]:
    """All inputs of a frame side: a frame in the look of a picture."""
    _, frame = scene()
    code = run(onnx.load(graph(model, "style")), {"picture": picture[None]})
    about = {"strength": np.array(1, np.float32), "keep_color": np.array(0, np.float32)}
    return {"frames": frame[:, :96, :128], **about, **code}


def picture(name: str) -> np.ndarray:
    whole = cv2.imread(str(ROOT / f"styles/{name}.jpg"), cv2.IMREAD_COLOR_RGB)
    return cv2.resize(whole, (128, 96), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("side", ["frame", "style"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_parser_knows_every_operator(model: str, side: str, precision: str) -> None:
    network = lowered(model, side, precision)
    nodes, constants = network.graph.node, {c.name for c in network.graph.initializer}
    assert {node.op_type for node in nodes} <= SUPPORTED
    assert all(node.domain == "" for node in nodes)
    for node in nodes:
        if node.op_type.startswith("Reduce"):
            assert set(node.input[1:]) <= constants
        if node.op_type == "ConstantOfShape":
            assert set(node.input) <= constants
        if node.op_type == "Conv" and precision == "fp32":
            assert set(node.input[1:]) <= constants
        if node.op_type == "Resize":
            about = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            assert about["mode"] in (b"linear", b"nearest")
            assert about["coordinate_transformation_mode"] in (b"half_pixel", b"asymmetric")
            assert not about.get("antialias")


@pytest.mark.parametrize("side", ["frame", "style"])
def test_bytes_meet_nothing_but_a_cast(model: str, side: str) -> None:
    network = lowered(model, side, "fp32")
    onnx.checker.check_model(network, full_check=True)
    ends = [*network.graph.input, *network.graph.output]
    small = {e.name for e in ends if e.type.tensor_type.elem_type == TensorProto.UINT8}
    assert small
    for node in network.graph.node:
        if small & {*node.input, *node.output}:
            assert node.op_type == "Cast"


@pytest.mark.parametrize(
    ("precision", "kind"), [("fp16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)]
)
def test_statistics_stay_in_float32(model: str, precision: str, kind: int) -> None:
    every = dict.fromkeys(convolutions(onnx.load(graph(model, "frame")).graph), AS_IT_IS)
    network = lowered(model, "frame", precision, **every)
    onnx.checker.check_model(network, full_check=True)
    known = onnx.shape_inference.infer_shapes(network, strict_mode=True).graph
    types = {v.name: v.type.tensor_type.elem_type for v in known.value_info}
    assert len(every) > 10
    assert all(types[n.output[0]] == kind for n in known.node if n.op_type == "Conv")
    statistics = [node for node in known.node if node.op_type in STATISTICS]
    assert {"MatMul", "ReduceMean"} <= {node.op_type for node in statistics}
    assert all(types[node.output[0]] == TensorProto.FLOAT for node in statistics)


def test_float16_paints_what_float32_paints(model: str) -> None:
    inputs = inputs_of(model, picture("wave"))
    ours, theirs = (run(lowered(model, "frame", p), inputs)["painted"] for p in ("fp16", "fp32"))
    assert theirs.std() > 1
    assert difference("", 1.0, ours, theirs).psnr_db >= LEAST_DB


def test_float32_is_left_as_it_is() -> None:
    inputs = inputs_of("compact", picture("ink"))
    same = run(onnx.load(graph("compact", "frame")), inputs)["painted"]
    assert np.array_equal(run(lowered("compact", "frame", "fp32"), inputs)["painted"], same)


def test_of_8_bits_the_others_are_in_float16_and_those_pinned_in_float32() -> None:
    network = onnx.load(graph("compact", "frame"))
    first, second, third, *_ = convolutions(network.graph)
    lower(network, "int8", {first: 1.0, second: 1.0}, pinned=[second])
    onnx.checker.check_model(network, full_check=True)
    known = onnx.shape_inference.infer_shapes(network, strict_mode=True).graph
    types = {v.name: v.type.tensor_type.elem_type for v in known.value_info}
    found = {n.name: types[n.output[0]] for n in known.node if n.op_type == "Conv"}
    assert found[second] == TensorProto.FLOAT
    assert found[first] == found[third] == TensorProto.FLOAT16
    assert sum(n.op_type == "QuantizeLinear" for n in known.node) == 2


@pytest.mark.parametrize("groups", [1, 2])
def test_centred_convolutions_bear_what_varies_little(groups: int) -> None:
    """Around a mean a hundred times as large, as in a clear sky."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.1, (8, 4 // groups, 3, 3)).astype(np.float32)
    conv = helper.make_node(
        "Conv", ["x", "weight", "bias"], ["y"], name="conv", group=groups, pads=[0] * 4
    )
    graph = helper.make_graph(
        [conv, helper.make_node("Neg", ["y"], ["painted"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, "h", "w"])],
        [helper.make_tensor_value_info("painted", TensorProto.FLOAT, [1, 8, None, None])],
        [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(rng.normal(0, 1, 8).astype(np.float32), "bias"),
        ],
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    x = (3 + 0.03 * rng.normal(0, 1, (1, 4, 40, 56))).astype(np.float32)
    wanted = run(network, {"x": x})["painted"]
    errors = {}
    for how in (AS_IT_IS, CENTRED):
        low = onnx.ModelProto()
        low.CopyFrom(network)
        lower(low, "bf16", {"conv": how})
        onnx.checker.check_model(low, full_check=True)
        errors[how] = np.square(run(rehearsed(low), {"x": x})["painted"] - wanted).mean()
    assert 0 < errors[CENTRED] < errors[AS_IT_IS] / 100


def test_calibration_frames_are_spread_over_the_clip(tmp_path: Path) -> None:
    for i in range(24):
        cv2.imwrite(str(tmp_path / f"{i:03}.png"), np.full((40, 72, 3), 10 * i, np.uint8))
    frames = frames_of(str(tmp_path), 40)
    assert [frame.shape for frame in frames] == [(1, 48, 80, 3)] * 8
    assert [int(frame[0, 0, 0, 0]) for frame in frames] == [30 * i for i in range(8)]


@pytest.mark.slow
def test_int8_is_calibrated_on_a_clip() -> None:
    network = onnx.load(graph("compact", "frame"))
    frames = frames_of(CLIP, 64)[:2]
    bearing = calibrate(network, graph("compact", "style"), frames, "int8")
    assert len(bearing) > 8
    assert all(value > 0 for value in bearing.values())
    small = lowered("compact", "frame", "int8", **bearing)
    onnx.checker.check_model(small, full_check=True)
    kinds = [node.op_type for node in small.graph.node]
    # The input and the weights of each.
    assert kinds.count("QuantizeLinear") == kinds.count("DequantizeLinear") == 2 * len(bearing)
    assert set(kinds) <= SUPPORTED
    zeros = [c for c in small.graph.initializer if c.name.endswith(".zero")]
    assert zeros
    assert not any(onnx.numpy_helper.to_array(zero).any() for zero in zeros)
    inputs = inputs_of("compact", picture("mosaic"))
    theirs = run(network, inputs)["painted"]
    found = difference("", 1.0, run(small, inputs)["painted"], theirs)
    assert found.psnr_db >= EXPORTED_DB["int8"]


@pytest.mark.slow
def test_bfloat16_is_for_convolutions_that_bear_it() -> None:
    network = onnx.load(graph("compact", "frame"))
    inputs = inputs_of("compact", picture("mosaic")) | {"frames": picture("wave")[None]}
    every = dict.fromkeys(convolutions(network.graph), AS_IT_IS)
    bearing = calibrate(network, graph("compact", "style"), frames_of(None, 192), "bf16")
    assert len(every) / 2 < len(bearing) < len(every)
    theirs = run(network, inputs)["painted"]
    near, far = (
        difference("", 1.0, run(rehearsed(low), inputs)["painted"], theirs).psnr_db
        for low in (lowered("compact", "frame", "bf16", **chosen) for chosen in (bearing, every))
    )
    assert near >= EXPORTED_DB["bf16"]
    assert near > far


def test_a_size_is_run_with_the_profile_made_for_it() -> None:
    assert pick(PROFILES, (512, 512)) == 0
    assert pick(PROFILES, (368, 640)) == 0
    assert pick(PROFILES, (720, 1280)) == pick(PROFILES, (1280, 720)) == 1
    assert pick(PROFILES, (1088, 1920)) == pick(PROFILES, (1920, 1088)) == 2
    assert pick(PROFILES, (2160, 3840)) is None
    assert pick(PROFILES, (16, 64)) is None
    assert pick([], (64, 64)) is None


def test_exported_profiles_are_the_padded_sizes() -> None:
    sizes = [(1280, 720), (640, 360), (630, 368), (20, 20)]
    found = profiles(ExportOptions(sizes=sizes))
    assert [p.best for p in found] == [(720, 1280), (368, 640), (32, 32)]
    assert all(p.least == p.best == p.most for p in found)
    ranging = profiles(ExportOptions(sizes=sizes, dynamic=True))
    assert [p.best for p in ranging] == [p.best for p in found]
    assert all(p.least == (32, 32) and p.most == (720, 1280) for p in ranging)


def test_an_engine_is_bound_to_all_that_made_it(cosine: str) -> None:
    card = Gpu("NVIDIA L4", "8.9", "580.1")
    here = ("compact", card, "10.13.3", "fp16", PROFILES)
    others = [
        (cosine, *here[1:]),
        *(
            (here[0], replace(card, **other), *here[2:])
            for other in ({"name": "NVIDIA T4"}, {"capability": "9.0"}, {"driver": "580.2"})
        ),
        (*here[:2], "10.14.0", *here[3:]),
        (*here[:3], "bf16", PROFILES),
        (*here[:4], PROFILES[:2]),
        (*here[:4], [Profile((32, 32), (64, 64), (128, 128))]),
    ]
    names = [engine_name(*about) for about in (here, *others)]
    assert len(set(names)) == len(names)
    assert engine_name(*here) == names[0]
    assert all(name == Path(name).name and len(name) < 150 for name in names)


def test_damaged_timings_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLESTREAM_CACHE", str(tmp_path))
    assert kept("timings") == b""
    keep("timings", b"first")
    keep("timings", b"second")
    assert kept("timings") == b"second"
    (tmp_path / "timings").write_bytes(b"tampered")
    assert kept("timings") == b""


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """In place of TensorRT and a GPU: it builds nothing and says nothing."""
    trt = MagicMock(__version__="10.13.3", IErrorRecorder=object)
    trt.OnnxParser.return_value.num_errors = 0
    builder = trt.Builder.return_value
    builder.build_serialized_network.return_value = None
    config = builder.create_builder_config.return_value
    config.get_timing_cache.return_value.serialize.return_value = b"timings"
    trt.Runtime.return_value.deserialize_cuda_engine.return_value = None
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    monkeypatch.setenv("STYLESTREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("torch.cuda.device", lambda _: nullcontext())
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (1, 1))
    monkeypatch.setattr("engines.tensorrt.gpu_of", lambda _: Gpu("NVIDIA L4", "8.9", "580.1"))
    monkeypatch.setattr("engines.tensorrt.logger", functools.cache(logger.__wrapped__))
    return trt


def built(path: Path) -> None:
    value = helper.make_tensor_value_info("frames", TensorProto.UINT8, [1, "h", "w", 3])
    network = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "one", [value], [])
    build(helper.make_model(network), PROFILES[:1], torch.device("cuda"), path)


def reports(owner: MagicMock, *errors: str) -> None:
    for text in errors:
        owner.error_recorder.report_error(1, text)


def test_all_share_one_logger_and_hear_their_own_errors(runtime: MagicMock, tmp_path: Path) -> None:
    makers = runtime.Builder, runtime.Runtime
    builder, reader = (maker.return_value for maker in makers)
    builder.build_serialized_network.side_effect = lambda *_: reports(builder, "of the builder")
    reader.deserialize_cuda_engine.side_effect = lambda _: reports(reader, "of the runtime")
    (tmp_path / "engine").write_bytes(b"engine")
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^TensorRT cannot build .*: of the builder$"):
            built(tmp_path / "engine")
        with pytest.raises(RuntimeError, match=r"^TensorRT cannot load .*: of the runtime$"):
            Plan(tmp_path / "engine", torch.device("cuda"))
    runtime.Logger.assert_called_once_with(runtime.Logger.INTERNAL_ERROR)
    for maker in makers:
        assert all(call.args == (runtime.Logger.return_value,) for call in maker.call_args_list)
    heard = reader.error_recorder
    assert (heard.num_errors(), heard.get_num_errors()) == (1, 1)
    assert (heard.get_error_code(0), heard.get_error_desc(0)) == (1, "of the runtime")
    heard.clear()
    assert (heard.num_errors(), heard.has_overflowed()) == (0, False)


def test_of_many_errors_the_first_and_the_last_are_told(runtime: MagicMock, tmp_path: Path) -> None:
    builder = runtime.Builder.return_value
    errors = "Skipping tactic 0x1", "Skipping tactic 0x2", "no implementation for node y\nsee docs"
    builder.build_serialized_network.side_effect = lambda *_: reports(builder, *errors)
    with pytest.raises(RuntimeError, match=r"tactic 0x1; no implementation for node y$"):
        built(tmp_path / "engine")


def test_that_memory_is_short_is_seen_though_the_last_error_is_another(
    runtime: MagicMock, tmp_path: Path
) -> None:
    reader, errors = runtime.Runtime.return_value, ("out of memory", "deserialization failed.")
    reader.deserialize_cuda_engine.side_effect = lambda _: reports(reader, *errors)
    (tmp_path / "engine").write_bytes(b"engine")
    with pytest.raises(MemoryError), shortage():
        Plan(tmp_path / "engine", torch.device("cuda"))


def test_a_refusal_without_a_reason_is_one_line(runtime: MagicMock, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"build the engine: it gives no reason$"):
        built(tmp_path / "engine")
    parser = runtime.OnnxParser.return_value
    parser.parse.return_value = False
    with pytest.raises(RuntimeError, match=r"read the graph: it gives no reason$"):
        built(tmp_path / "engine")
    parser.num_errors = 1
    parser.get_error.return_value.desc.return_value = "Invalid Node - y"
    with pytest.raises(RuntimeError, match=r"read the graph: Invalid Node - y$"):
        built(tmp_path / "engine")
    runtime.Builder.side_effect = TypeError("factory function returned nullptr")
    with pytest.raises(RuntimeError, match="does not start"):
        built(tmp_path / "engine")


def test_timings_that_cannot_be_read_are_made_again(
    runtime: MagicMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = runtime.Builder.return_value
    builder.build_serialized_network.return_value = b"engine"
    config = builder.create_builder_config.return_value
    for cuda in ("12.8", "13.0"):
        monkeypatch.setattr("torch.version.cuda", cuda)
        built(tmp_path / "engine")
    assert (tmp_path / "engine").read_bytes() == b"engine"
    assert len(list((tmp_path / "cache").glob("timings-tensorrt10.13.3-*.cache"))) == 2
    empty = MagicMock()
    config.create_timing_cache.side_effect = lambda data: None if data else empty
    built(tmp_path / "engine")
    config.set_timing_cache.assert_called_with(empty, ignore_mismatch=False)


@without
def test_without_tensorrt_there_is_one_line(paint: Run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^TensorRT .*") as caught:
        load_engine("compact", "cuda", kind="tensorrt")
    assert len(str(caught.value).splitlines()) == 1
    words = ("test:size=64x48,frames=3", "--style", ROOT / "styles/wave.jpg")
    done = paint(*words, "-o", f"{tmp_path}/out/", "--engine", "tensorrt")
    assert done.returncode == 1
    assert "TensorRT" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        pytest.param([], 1, "TensorRT", marks=without),
        pytest.param(["--precision", "bf16"], 1, "TensorRT", marks=without),
        (["--precision", "int8"], 2, "--clip"),
        (["--clip", CLIP], 2, "--precision int8"),
        (["--precision", "fp8"], 2, "none of fp32, fp16, bf16, int8"),
    ],
)
def test_an_export_that_cannot_be_gets_one_line(
    words: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compact", "--format", "tensorrt", *words]) == code
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The engine once it has taken over from torch, or said that it will not."""
    made = load_engine("compact", "cuda", kind="tensorrt")
    made.settle()
    return made


@gpu
@pytest.mark.gpu
@pytest.mark.timeout(1800)
def test_it_paints_what_torch_paints(engine: Engine) -> None:
    assert engine.why.startswith("engine tensorrt"), engine.why
    reference = load_engine("compact", "cuda", kind="torch")
    code = reference.encode_style(picture("wave"))
    mixed = reference.mix([code, reference.encode_style(picture("ink"))], [0.3, 0.7])
    small, large = np.zeros((1, 40, 40, 3), np.uint8), np.zeros((1, 2000, 64, 3), np.uint8)
    for frames in (scene()[1], np.concatenate([scene()[1][:, :90, :170]] * 3), small, large):
        for strength, keep_color in ((1.0, False), (0.4, True)):
            ours, theirs = (e(frames, mixed, strength, keep_color) for e in (engine, reference))
            assert ours.shape == theirs.shape
            assert difference("", strength, ours, theirs).psnr_db >= LEAST_DB
    assert re.match(r"engine torch paints 64x2000, not tensorrt .*\(no profile", engine.why)


@gpu
@pytest.mark.gpu
@pytest.mark.timeout(1800)
def test_a_damaged_engine_is_built_again(engine: Engine) -> None:
    (path,) = cache.folder().glob(f"compact-tensorrt{installed_version()}-*.engine")
    path.write_bytes(b"tampered" + path.read_bytes()[8:])
    again = load_engine("compact", "cuda", kind="tensorrt")
    assert "is being built" in again.why
    style, frame = scene()
    assert again(frame, again.encode_style(style), 1.0, False).std() > 1
    again.settle()
    # Whole, but nothing that TensorRT takes.
    path.write_bytes(b"foreign")
    path.with_name(f"{path.name}.sha256").write_text(sha256(b"foreign").hexdigest())
    other = load_engine("compact", "cuda", kind="tensorrt")
    other.settle()
    assert other.why.startswith("engine tensorrt"), other.why


@gpu
@pytest.mark.gpu
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
def test_it_is_exported_in_every_precision(tmp_path: Path, precision: str) -> None:
    clip = ("--clip", CLIP) if precision == "int8" else ()
    words = ("--precision", precision, "--sizes", "512x512", "640x360", *clip)
    assert main(["compact", "--format", "tensorrt", *words, "-o", str(tmp_path / "out")]) == 0
    about = json.loads((tmp_path / "out/manifest.json").read_text())
    assert about["sides"]["frames"] == ["512x512", "640x368"]
    assert set(about["sha256"]) == {"frame.engine", "style.engine"}
