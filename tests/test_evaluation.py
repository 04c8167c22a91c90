"""Evaluation: each figure has the properties it claims, the report agrees with itself, mistakes get
one line. Networks have the right shapes and random weights; pictures and clips are made here."""

import csv
import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from media import video
from safetensors.torch import save_file
from skimage.metrics import structural_similarity
from torch import Tensor

from evaluation import contact, motion, painters, systems
from evaluation.__main__ import main
from evaluation.appearance import chamfer, ssim, to_pixels
from evaluation.cost import measured
from evaluation.flow import filmed
from evaluation.halos import halo
from evaluation.lpips import CHANNELS, Lpips
from evaluation.material import matched
from evaluation.measure import judge_clip
from evaluation.painters import untouched
from evaluation.quality import VggJudge
from evaluation.scene import Scene
from evaluation.temporal import Clip
from training.loss_network import CONVS, load_loss_network

EXPANDED = {3: 64, 4: 64, 6: 128, 7: 128, 9: 192, 10: 192, 11: 256, 12: 256}
SMALL = ["--side", 64, "--pairs", 4, "--clip-pairs", 2, "--frames", 12]


def smooth(height: int, width: int, period_px: float = 40.0) -> Tensor:
    """Waves of colour, (1,3,H,W) in [0, 1]."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    turn = 2 * np.pi / period_px
    waves = [torch.sin(turn * (x + k * y)) + torch.cos(turn * (y - k * x)) for k in (0.2, 0.5, 0.7)]
    return (torch.stack(waves)[None] / 4 + 0.5).clamp(0, 1)


def rough(height: int, width: int, seed: int = 0) -> Tensor:
    """Smoothed noise with detail to be tracked, (1,3,H,W) in [0, 1]."""
    noise = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 2.0)
    blurred = (blurred - blurred.min()) / (blurred.max() - blurred.min())
    return torch.from_numpy(blurred).permute(2, 0, 1)[None]


def shifts(count: int, dx: float, dy: float) -> np.ndarray:
    """Cameras that move by (dx, dy) px a frame and do nothing else."""
    size, start = (60, 80), (70.0, 50.0)
    middles = [(start[0] + dx * t, start[1] + dy * t) for t in range(count)]
    return np.stack([motion.camera(size, middle, 0.0, 1.0) for middle in middles])


def judged(clip: Clip, paint: object, kind: str = "exact") -> dict[str, float]:
    _, found = judge_clip(clip, kind, "style", {"it": paint}, lambda what: None)
    return {m.figure: m.value for m in found if not m.figure.endswith("seen")}


def flickering(frames: Tensor, style: str) -> Tensor:
    """Alternately a little darker: what a viewer sees at once and no still shows."""
    return frames * (1 - 0.1 * (torch.arange(len(frames)) % 2))[:, None, None, None]


@pytest.mark.parametrize(("dx", "dy", "most"), [(3, -2, 1e-4), (1.5, 0.25, 2e-3)])
def test_a_pure_shift_of_a_smooth_picture_has_no_error(dx: float, dy: float, most: float) -> None:
    clip = motion.moved("waves", smooth(120, 160), shifts(12, dx, dy), (60, 80))
    errors = judged(clip, untouched)
    assert set(errors) == {"exact_short", "exact_long"}
    assert max(errors.values()) < most
    assert 0 < clip.links[-1].seen.float().mean() < clip.links[0].seen.float().mean() < 1


def test_paint_that_sticks_to_things_has_the_errors_of_the_clip_itself() -> None:
    photograph = rough(120, 160)
    cameras = motion.travelling(photograph, 12, np.random.default_rng(1))
    clip = motion.moved("noise", photograph, cameras, motion.frame_size(photograph))
    floor = judged(clip, untouched)
    assert floor["exact_long"] < 0.01
    negative = judged(clip, lambda frames, style: 1 - frames)
    assert negative == pytest.approx(floor, rel=1e-3)


def test_links_follow_the_camera_through_zoom_and_turn() -> None:
    photograph = rough(120, 160)
    cameras = motion.travelling(photograph, 12, np.random.default_rng(2))
    clip = motion.moved("noise", photograph, cameras, (80, 107))
    link = clip.links[-1]
    place = np.array([40.0, 30.0, 1.0])
    early = cameras[link.early] @ np.array([*link.positions[30, 40].tolist(), 1.0])
    assert early == pytest.approx(cameras[link.late] @ place, abs=1e-3)


def test_flicker_and_what_does_not_move_along_are_errors() -> None:
    clip = motion.moved("waves", smooth(120, 160), shifts(12, 2, 1), (60, 80))
    floor = judged(clip, untouched)
    flicker = judged(clip, flickering)
    assert flicker["exact_short"] > floor["exact_short"] + 0.03
    assert flicker["exact_long"] < flicker["exact_short"] / 10  # ten frames on it is as dark again
    screen = rough(60, 80)
    assert judged(clip, lambda frames, style: frames * screen)["exact_long"] > 0.02


def test_noise_on_a_still_picture_is_the_floor_of_its_flicker() -> None:
    clip = motion.resting("still", smooth(60, 80) / 2 + 0.25, 5, 0)
    floor = judged(clip, untouched, "noise")["noise_short"]
    # Two independent normal values differ by 2 / sqrt(pi) deviations in the mean.
    assert floor == pytest.approx(motion.NOISE * 2 / np.pi**0.5, rel=0.03)
    assert judged(clip, lambda frames, style: 0 * frames, "noise") == {"noise_short": 0}


def test_flow_is_found_and_what_it_cannot_know_is_left_out() -> None:
    photograph = rough(120, 160)
    cameras = shifts(3, 3, -2)
    exact = motion.moved("noise", photograph, cameras, (60, 80))
    clip = filmed("noise", exact.frames)
    link, known = clip.links[0], exact.links[0]
    inner = link.seen.clone()
    away = (link.positions - known.positions).norm(dim=-1)[inner]
    assert link.seen.float().mean() > 0.6
    assert away.median() < 0.1
    assert judged(clip, untouched, "filmed")["filmed_short"] < 0.01


def test_what_a_moving_thing_uncovers_is_left_out() -> None:
    background, thing = rough(120, 160)[0], rough(60, 60, 5)[0]
    frames = background.repeat(2, 1, 1, 1)
    frames[0, :, 30:90, 40:100] = thing
    frames[1, :, 30:90, 46:106] = thing  # 6 px to the right
    (link,) = filmed("thing", frames).links
    assert link.seen[35:85, 42:44].float().mean() < 0.35
    assert link.seen[35:85, 60:96].float().mean() > 0.9
    assert link.seen[:20].float().mean() > 0.9


def test_structure_is_that_of_scikit_image() -> None:
    a, b = to_pixels(rough(40, 50)), to_pixels(rough(40, 50, 1))
    greys = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (a, b)]
    assert ssim(a, b) == structural_similarity(*greys)
    assert ssim(a, a) == 1


def test_a_halo_is_an_outline_without_texture() -> None:
    photograph = torch.full((1, 3, 128, 192), 0.4)
    photograph[..., 40:90, 60:110] = 0.8
    noise = 0.2 * torch.rand(1, 3, 128, 192, generator=torch.Generator().manual_seed(1))
    calm = torch.ones(1, 1, 128, 192)
    calm[..., 20:110, 40:130] = 0.2  # 20 px beyond the square
    even, haloed = halo(photograph + noise, photograph), halo(photograph + calm * noise, photograph)
    assert even == pytest.approx(1, abs=0.1)
    assert haloed is not None
    assert haloed > 2
    assert halo(noise, torch.ones(1, 3, 128, 192)) is None  # no edges at all
    drawn = torch.ones(1, 3, 256, 256)
    drawn[..., 100:150, 100:150] = 0
    assert halo(drawn, drawn) is None  # no texture either


def test_chamfer_compares_colours_and_not_places() -> None:
    a, b = to_pixels(rough(100, 90)), to_pixels(rough(80, 120, 1))
    assert chamfer(a, a) == 0
    assert chamfer(a, b) == chamfer(b, a) > 0
    black, white = np.zeros((9, 9, 3), np.uint8), np.full((7, 5, 3), 255, np.uint8)
    assert chamfer(black, white) == pytest.approx(2 * 3 * 255**2)
    small = to_pixels(rough(30, 40))
    assert chamfer(small, small[::-1, ::-1]) == 0


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with vgg, squeeze, caffe and heads .safetensors: true shapes, random values."""
    folder, rng = tmp_path_factory.mktemp("weights"), torch.Generator().manual_seed(0)

    def conv(name: str, outputs: int, inputs: int, side: int) -> dict[str, Tensor]:
        filters = torch.randn(outputs, inputs, side, side, generator=rng)
        spread = (2 / (inputs * side**2)) ** 0.5
        return {f"{name}.weight": filters * spread, f"{name}.bias": torch.zeros(outputs)}

    vgg, last = {}, 3
    for name in CONVS[:8]:
        width = {"1": 64, "2": 128, "3": 256}[name[0]]
        vgg |= conv(f"conv{name}", width, last, 3)
        last = width
    save_file(vgg, folder / "vgg.safetensors")
    squeeze, last = conv("features.0", 64, 3, 3), 64
    for number, width in EXPANDED.items():
        squeeze |= conv(f"features.{number}.squeeze", width // 4, last, 1)
        squeeze |= conv(f"features.{number}.expand1x1", width, width // 4, 1)
        squeeze |= conv(f"features.{number}.expand3x3", width, width // 4, 3)
        last = 2 * width
    save_file(squeeze, folder / "squeeze.safetensors")
    save_file(squeeze, folder / "caffe.safetensors", {"input": "BGR, 0..255, minus (104, ...)"})
    heads = {
        f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1, generator=rng)
        for i, c in enumerate(CHANNELS)
    }
    save_file(heads, folder / "heads.safetensors")
    return folder


def test_lpips_is_a_distance_and_names_what_it_is(weights: Path) -> None:
    a, b = smooth(64, 70), rough(64, 70)
    lpips = Lpips(weights / "squeeze.safetensors", weights / "heads.safetensors")
    caffe = Lpips(weights / "caffe.safetensors", weights / "heads.safetensors")
    for measure in (lpips, caffe):
        assert measure(a, a) == 0
        assert measure(a, b) == pytest.approx(measure(b, a), rel=1e-5)
        assert measure(a, b) > measure(a, (a + b * 0.2).clamp(0, 1)) > 0
    assert (lpips.figure, caffe.figure) == ("lpips", "lpips_like")
    assert lpips(a, b) != pytest.approx(caffe(a, b), rel=1e-3)


def test_an_untouched_photograph_and_the_style_itself_are_the_ends_of_the_scale(
    weights: Path,
) -> None:
    judge = VggJudge(load_loss_network(str(weights / "vgg.safetensors")))
    scene = Scene("photograph", "style", smooth(64, 70), rough(64, 70))
    before, after = judge(scene.picture, scene), judge(scene.wanted, scene)
    assert before["style_ratio"] == 1
    assert before["content"] == before["content_loss"] == 0
    assert before["gram"] > 0
    assert after["style_ratio"] == after["style_loss"] == after["gram"] == 0
    assert 0.5 < after["content"] < 2.5
    assert judge.style_layers == ["1_1", "2_1", "3_1"]  # this network has no others
    assert judge.content_layers == ["3_4"]


def test_pairs_are_different_and_spread_evenly() -> None:
    photographs, styles = list("abcde"), list("uvw")
    assert len(set(matched(photographs, styles, 99))) == 15
    few = matched(photographs, styles, 10)
    assert len(set(few)) == 10
    assert {sum(p == name for p, _ in few) for name in photographs} == {2}
    assert max(sum(s == name for _, s in few) for name in styles) <= 4


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `content`, `style` and `clips`."""
    folder = tmp_path_factory.mktemp("material")
    for kind in ("content", "style", "clips"):
        (folder / kind).mkdir()
    for i in range(2):
        for kind, picture in (
            ("content", smooth(90, 110, 20 + 9 * i)),
            ("style", rough(80, 90, i)),
        ):
            bgr = cv2.cvtColor(to_pixels(picture), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(folder / kind / f"{kind}{i}.png"), bgr)
    video(folder / "clips" / "waves.mp4")
    return folder


def command(material: Path, weights: Path, *more: object) -> int:
    words = ["--content", material / "content", "--style", material / "style", *SMALL]
    return main([str(w) for w in (*words, "--vgg", weights / "vgg.safetensors", *more)])


def test_without_a_report_two_figures_are_printed_by_style(
    material: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(material, weights) == 0
    header, *styles, last = capsys.readouterr().out.splitlines()
    assert header.split() == ["style", "style", "ratio", "content"]
    assert [line.split()[0] for line in styles] == ["style0", "style1"]
    assert last.startswith("median of 4 pairs ")
    ratio, content = map(float, last.split()[-2:])
    assert 0 < ratio < 1
    assert 0 < content < 2


def test_pictures_that_cannot_be_used_are_named_and_left_out(
    material: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    cv2.imwrite(str(odd / "pixel.png"), np.zeros((1, 1, 3), np.uint8))
    cv2.imwrite(str(odd / "endless.png"), np.zeros((9000, 9000), np.uint8))
    cv2.imwrite(str(odd / "fine.png"), np.zeros((40, 40, 3), np.uint8))
    assert command(material, weights, "--style", odd) == 0
    said = capsys.readouterr()
    assert "fine" in said.out
    assert f"left out: {odd / 'pixel.png'}: is too small" in said.err
    assert f"left out: {odd / 'endless.png'}: has 81 megapixels" in said.err


def test_report_of_two_models_agrees_with_itself(
    material: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = tmp_path / "twin.safetensors"
    twin.write_bytes(Path("models/weights/compact.safetensors").read_bytes())
    out = tmp_path / "report"
    more = ["--model", "compact", "--model", twin, "--clips", material / "clips", "-o", out]
    assert command(material, weights, *more) == 0
    printed = capsys.readouterr().out
    rows = list(csv.DictReader((out / "table.csv").read_text().splitlines()))
    table = {row["figure"]: row for row in rows}
    text, html = (out / "table.md").read_text(), (out / "index.html").read_text()
    for row in rows:
        assert f"| {' | '.join(row.values())} |" in text
        assert "".join(f"<td>{cell}</td>" for cell in row.values()) in html
        assert row["figure"] in printed
        assert row["compact"] == row["twin"]
        assert row["twin / compact"] == (
            "1.000" if row["figure"] != "LPIPS (SqueezeNet)" else "not available"
        )
    assert table["LPIPS (SqueezeNet)"]["compact"] == "not available"
    assert table["style ratio"]["untouched"] == "1"
    short = float(table["warping error, clips, 1 frame"]["untouched"])
    assert 0 < short < float(table["warping error, clips, 1 frame"]["compact"])
    measured = list(csv.DictReader((out / "measurements.csv").read_text().splitlines()))
    own = sorted(
        float(m["value"]) for m in measured if (m["figure"], m["model"]) == ("ssim", "twin")
    )
    assert len(own) == 4
    assert table["SSIM"]["twin"] == f"{np.median(own):.4g}"
    assert 'src="http' not in html
    assert html.count("<svg") == 5
    assert html.count("data:image/jpeg") == 4 * 4 + 3 * 3 * 3


def test_report_is_the_same_again_and_has_lpips_where_its_weights_are(
    material: Path, weights: Path, tmp_path: Path
) -> None:
    few = ["--pairs", 1, "--clip-pairs", 1, "--frames", 3]
    nets = ["--squeeze", weights / "squeeze.safetensors", "--lpips", weights / "heads.safetensors"]
    for out in ("a", "b"):
        assert command(material, weights, *few, *nets, "-o", tmp_path / out) == 0
    for name in ("table.csv", "table.md", "measurements.csv", "index.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    rows = csv.DictReader((tmp_path / "a" / "table.csv").read_text().splitlines())
    table = {row["figure"]: row for row in rows}
    assert float(table["LPIPS (SqueezeNet)"]["compact"]) > 0
    assert table["LPIPS (SqueezeNet)"]["untouched"] == "0"
    assert table["warping error, exact flow, 10 frames"]["compact"] == "not available"


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take UTF-8 only")
def test_names_that_are_no_text_are_in_the_report_too(
    material: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / os.fsdecode(b"odd\xff")
    odd.mkdir()
    for name, source in (
        (b"caf\xe8.png", "content/content0.png"),
        (b"caf\xe9.png", "content/content1.png"),
        (b"caf\xe9.mp4", "clips/waves.mp4"),
    ):
        shutil.copy(material / source, odd / os.fsdecode(name))
    (odd / os.fsdecode(b"caf\xea.png")).write_text("no picture")
    few = ["--pairs", 4, "--clip-pairs", 1, "--frames", 3]
    out = odd / "report"
    assert command(material, weights, "--content", odd, "--clips", odd, *few, "-o", out) == 0
    said = capsys.readouterr()
    assert "odd\\xff/caf\\xea.png: " in said.err
    assert f"written: {tmp_path}/odd\\xff/report" in said.out
    rows = csv.DictReader((out / "measurements.csv").read_text(encoding="utf-8").splitlines())
    assert {"caf\\xe8", "caf\\xe9", "caf\\xe9.mp4"} <= {row["material"] for row in rows}
    assert "odd\\xff" in (out / "index.html").read_text(encoding="utf-8")


def test_systems_side_by_side(
    material: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes minutes a picture paints clips by key frames."""
    twin = tmp_path / "twin.safetensors"
    twin.write_bytes(Path("models/weights/compact.safetensors").read_bytes())
    real, slow = painters.painter, painters.KeyFramePainter
    monkeypatch.setattr(painters, "painter", lambda n: slow if n == str(twin) else real(n))
    words = ["--content", material / "content", "--style", material / "style", "-o", tmp_path]
    words += ["--vgg", weights / "vgg.safetensors", "--model", "compact", twin]
    words += ["--side", 64, "--pairs", 2, "--clip-pairs", 1, "--frames", 3]
    assert systems.main([str(word) for word in words]) == 0
    text = (tmp_path / "systems.md").read_text()
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line[:1] == "|"]
    header, _, untouched, *rows = lines
    assert [row[0] for row in rows] == ["compact", "twin"]
    table = {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in (untouched, *rows)}
    assert float(table["untouched"]["style ratio"]) == 1
    assert 0 < float(table["compact"]["style ratio"]) == float(table["twin"]["style ratio"]) < 1
    assert float(table["compact"]["moving, 1 frame"]) > 0
    assert not {"LPIPS", "moving, 10 frames", "clips, 1 frame"} & table["compact"].keys()
    assert 0 < float(table["twin"]["moving, 1 frame"]) < float(table["compact"]["moving, 1 frame"])
    assert "- painted by key frames: twin\n" in text
    assert "- pictures in several passes, clips and cost in one: none\n" in text
    assert all(float(table[name]["s a frame"]) > 0 for name in ("compact", "twin"))
    sheet = cv2.imread(str(tmp_path / "systems.jpg"))
    assert len(sheet) == round(4 * (64 + contact.GAP_PX) * contact.SHOWN)


@pytest.mark.slow
def test_what_paints_by_gradients_is_judged_too(
    material: Path, weights: Path, tmp_path: Path
) -> None:
    few = ["--model", "nnst", "--pairs", 1, "--clip-pairs", 1, "--frames", 3]
    assert command(material, weights, *few, "-o", tmp_path) == 0
    rows = csv.DictReader((tmp_path / "table.csv").read_text().splitlines())
    table = {row["figure"]: row["nnst"] for row in rows}
    assert 0 < float(table["style ratio"]) < 1
    assert 0 < float(table["warping error, exact flow, 1 frame"]) < 0.05
    assert min(measured("nnst", 32)) > 0


def test_a_sheet_has_the_same_pictures_in_a_row_for_each_model() -> None:
    weights = "models/weights/compact.safetensors"
    rows = np.split(contact.side_by_side({"compact": "compact", "twin": weights}, 64), 4)
    photographs, _, first, second = (row[:, contact.LABEL_PX + contact.GAP_PX :] for row in rows)
    assert np.array_equal(first, second)
    assert np.abs(photographs.astype(int) - first).mean() > 10
    assert np.array_equal(photographs[:64, :64], contact.photograph(contact.PHOTOGRAPHS[0], 64))
    assert not np.array_equal(rows[2][:, : contact.LABEL_PX], rows[3][:, : contact.LABEL_PX])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--content", "nowhere"], "cannot read the folder nowhere"),
        (["--style", "nowhere", "--vgg", "{heads}"], "cannot read the folder nowhere"),
        (["--clips", "nowhere", "-o", "{tmp}/r", "--vgg", "{heads}"], "cannot read the folder"),
        (["--style", "{clips}"], "no pictures in"),
        (["--clips", "{content}", "-o", "{tmp}/r"], "no clips in"),
        (["--clips", "{broken}", "-o", "{tmp}/r"], "bad.mp4 is not a video"),
        (["--clips", "{clips}"], "say where with -o"),
        (["--model", "compakt"], "no model 'compakt'"),
        (["--model", "compact", "compact"], "named twice"),
        (["--vgg", "nowhere.safetensors"], "--vgg nowhere.safetensors"),
        (["--vgg", "{heads}"], "--vgg"),
        (["--squeeze", "{heads}", "-o", "{tmp}/r"], "both --squeeze and --lpips"),
        (["--squeeze", "{heads}", "--lpips", "{heads}", "-o", "{tmp}/r"], "are not SqueezeNet"),
        (["-o", "{heads}/report"], "cannot write into"),
        (["--pairs", "0"], "0 is below 1"),
    ],
)
def test_mistakes_get_one_line(
    words: list[str],
    message: str,
    material: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "bad.mp4").write_bytes(b"no video at all" * 99)
    places = {
        "clips": material / "clips", "content": material / "content", "broken": broken,
        "heads": weights / "heads.safetensors", "tmp": tmp_path,
    }  # fmt: skip
    assert command(material, weights, *(w.format(**places) for w in words)) in (1, 2)
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert message in said
    assert "\n" not in said
