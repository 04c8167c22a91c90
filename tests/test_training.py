"""Training for real, a few steps of it, on pictures and clips made here.

The loss network has VGG-19's shape, narrow, and random weights: its features are no good, but
everything that computes with them is the real thing.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from media import video
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage import data
from torch.nn import functional as F

import models
from models.pyramid import split
from models.vgg import Encoder, mean_variance_norm, stacked_key
from pipeline.options import build, read_yaml
from training import clips, contrast, critics
from training.alive import asleep
from training.command import command
from training.data import Pictures, read
from training.loop import schedule
from training.loss_network import CONVS, load_loss_network
from training.losses import (
    covariance_loss,
    grid_loss,
    moments,
    nearest_loss,
    pyramid_loss,
    standardise,
    statistics_loss,
)
from training.options import SHALLOW_TO_DEEP, DistilOptions, RunOptions, TrainingOptions
from training.painting import Painting
from training.precision import dtype
from training.sheet import write_sheet
from training.similarity import similarity_loss
from training.targets import a2k_target, adaattn_target, joined, patches
from training.weights import begin, resolved

# What is trained here is small: a second thread would only wait for a busy machine.
torch.set_num_threads(1)

Train = Callable[..., tuple[int, str]]

NARROW = 0.0625
WIDTHS = {"1": 8, "2": 16, "3": 16, "4": 32, "5": 32}
TINY = ("--batch", 2, "--side", 64, "--precision", "float32", "--short-side", 90)
SEEN = ("content", "style", "covariance", "nearest", "local")
UNSEEN = [word for term in SEEN for word in (f"--{term}-weight", 0)]
"""Without terms on features: no loss network, so faster."""


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `content` and `style` of small pictures, `clips` of videos, and `vgg.safetensors`; of
    the width of `narrow`, `encoder.safetensors`."""
    folder = tmp_path_factory.mktemp("material")
    rng = np.random.default_rng(0)
    for kind in ("content", "style"):
        (folder / kind).mkdir()
        for i in range(3):
            rough = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8))
            rough.resize((120, 90)).save(folder / kind / f"{i}.png")
    (folder / "clips").mkdir()
    video(folder / "clips/waves.mp4", frames=10)
    (folder / "clips/broken.mp4").write_bytes(b"not a video")
    generator, weights, last = torch.Generator().manual_seed(0), {}, 3
    for name in CONVS[:13]:
        width = WIDTHS[name[0]]
        filters = torch.randn(width, last, 3, 3, generator=generator) * (2 / (9 * last)) ** 0.5
        weights |= {f"conv{name}.weight": filters, f"conv{name}.bias": torch.zeros(width)}
        last = width
    save_file(weights, folder / "vgg.safetensors")
    torch.manual_seed(0)
    save_file(Encoder(5, NARROW).state_dict(), folder / "encoder.safetensors")
    return folder


# Threads that do not spin: a busy machine must not make this crawl. No GPU: on the CPU a sum always
# has the same bits, and there are as many workers as one asks for.
PATIENT = os.environ | {"OMP_WAIT_POLICY": "passive", "CUDA_VISIBLE_DEVICES": ""}


def run(*given: object) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it."""
    words = [sys.executable, "-m", "training", *map(str, given)]
    done = subprocess.run(words, cwd=ROOT, env=PATIENT, capture_output=True, text=True, timeout=380)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def train(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Train:
    """The same without a process of its own: `train(*words)` -> exit code and all that it says."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)

    def within(
        *given: object, schema: type[RunOptions] = TrainingOptions, task: str = "training.painting"
    ) -> tuple[int, str]:
        code = command([str(word) for word in given], schema, task, "", "python -m training")
        return code, "".join(capsys.readouterr())

    return within


def pictures(material: Path) -> list[object]:
    return [
        *("--content", material / "content", "--style", material / "style"),
        *("--vgg", material / "vgg.safetensors", *TINY),
    ]


def compact(material: Path, out: Path, steps: int, *more: object) -> list[object]:
    return [
        *("--config", ROOT / "configs/train_compact.yaml", *pictures(material), "--out", out),
        *("--steps", steps, "--save-every", 2, "--sample-every", 4, "--imitation-steps", 0, *more),
    ]


def terms(text: str) -> dict[str, float]:
    """What the last line of a run says of its loss."""
    parts = text.strip().splitlines()[-1].split(" s/step ")[1].split()
    return {name: float(value) for name, value in zip(parts[::2], parts[1::2], strict=True)}


# -- runs --------------------------------------------------------------------------------------


def test_a_killed_run_ends_with_the_weights_of_a_calm_one(material: Path, tmp_path: Path) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    # At 96 px relu2_1 has more places than the nearest loss looks at: some are drawn.
    more = ("--side", 96, "--accumulate", 2)
    first = run(*compact(material, calm, 6, *more))
    assert first.returncode == 0, first.stderr
    words = [sys.executable, "-m", "training", *map(str, compact(material, killed, 6, *more))]
    process = subprocess.Popen(words, cwd=ROOT, env=PATIENT, stdout=subprocess.DEVNULL)
    while process.poll() is None and not (killed / "checkpoint.pt").exists():
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    second = run(*compact(material, killed, 6, *more))
    assert "resumed at step" in second.stdout
    a, b = (load_file(folder / "weights.safetensors") for folder in (calm, killed))
    assert all(torch.equal(a[name], b[name]) for name in a)
    names = {p.name.split(".")[0] for p in killed.iterdir()}
    assert {"checkpoint", "weights", "sheet_000004", "sheet_000006", "events"} <= names


def test_a_sheet_shows_nothing_twice(tmp_path: Path) -> None:
    class Copy(torch.nn.Linear):
        def encode_style(self, picture: torch.Tensor) -> torch.Tensor:
            return picture

        def forward(self, photo: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
            return (photo + code) / 2

    dark, light, style = (np.full((40, 60, 3), n, np.uint8) for n in (20, 60, 100))
    write_sheet(Copy(1, 1), Pictures([dark, light]), Pictures([style]), tmp_path, 3)
    sheet = np.asarray(Image.open(tmp_path / "sheet_000003.png"))
    assert sheet.shape == (3 * 192, 2 * 192, 3)
    assert sheet[96, 96 + 192, 0] == 100
    assert {tuple(sheet[y, 96::192, 0]) for y in (288, 480)} == {(20, 60), (60, 80)}


def test_broken_weights_replace_no_good_ones(material: Path, tmp_path: Path, train: Train) -> None:
    """Also where the next line of the log, which would tell of them, is far away."""
    code, said = train(*compact(material, tmp_path, 2))
    assert code == 0, said
    names = ("checkpoint.pt", "weights.safetensors")
    good = [(tmp_path / name).read_bytes() for name in names]
    code, said = train(*compact(material, tmp_path, 8, "--rate", 1e30, "--warmup", 1))
    assert code == 1
    assert "step 4: weights are not finite; the last checkpoint may be better" in said
    assert [(tmp_path / name).read_bytes() for name in names] == good


def test_a_broken_mean_of_the_weights_is_not_written(
    material: Path, tmp_path: Path, train: Train
) -> None:
    """It can be broken alone: in the checkpoint, or in half precision, in which it ships."""
    path = tmp_path / "checkpoint.pt"
    assert train(*compact(material, tmp_path, 2, *UNSEEN))[0] == 0
    shipped = (tmp_path / "weights.safetensors").read_bytes()
    kept = torch.load(path, weights_only=True)
    first = next(iter(kept["shadow"].values()))
    for number, code, message in (
        (torch.nan, 2, f"{path} has weights that are not finite; choose another --out"),
        (1e6, 1, "step 3: weights are not finite in half precision"),
    ):
        first.fill_(number)
        torch.save(kept, path)
        found, said = train(*compact(material, tmp_path, 3, *UNSEEN))
        assert found == code
        assert message in said.splitlines()[-1]
        assert (tmp_path / "weights.safetensors").read_bytes() == shipped


def test_a_run_goes_on_with_the_options_it_was_begun_with(
    material: Path, tmp_path: Path, train: Train
) -> None:
    out = tmp_path / "out"
    path = out / "checkpoint.pt"
    assert train(*compact(material, out, 2, *UNSEEN))[0] == 0
    other = shutil.copytree(material / "style", tmp_path / "other")
    for more, message in (
        (["--grid-weight", 5, "--batch", 3], "--batch 2 (now 3), --grid-weight 3000.0 (now 5.0)"),
        (["--content-weight", 5], "--content-weight 0.0 (now 5.0)"),
        (["--style", other], f"--style {material / 'style'} (now {material / 'style'} {other})"),
        (["--model", "neat", "--init", "encoder=vgg_narrow"], None),
    ):
        code, said = train(*compact(material, out, 4, *UNSEEN, *more))
        whole = f"error: {path} was begun with {message}: give the same, or another --out"
        if message is None:
            whole = (
                f"error: {path} is of another model, or of other terms of the loss "
                "(--init not given (now encoder=vgg_narrow), --model compact (now neat)); choose "
                "another --out"
            )
        assert (code, said.splitlines()[-1]) == (2, whole)
    # When it ends and how fast it learns may change, and that is said; a folder may be named anew.
    words = compact(material, out, 3, *UNSEEN, "--rate", 0.0001, "--log-every", 1)
    anew = os.path.relpath(material / "style")
    code, said = train(*[anew if word == material / "style" else word for word in words])
    assert code == 0, said
    assert "resumed at step 2, --steps 2 (now 3), --rate 0.0006 (now 0.0001)\n" in said


def test_a_checkpoint_without_options_is_gone_on_from(
    material: Path, tmp_path: Path, train: Train
) -> None:
    """As those are that earlier versions wrote; what it goes on with is kept then."""
    path = tmp_path / "checkpoint.pt"
    assert train(*compact(material, tmp_path, 2, *UNSEEN))[0] == 0
    kept = torch.load(path, weights_only=True)
    del kept["options"]
    torch.save(kept, path)
    code, said = train(*compact(material, tmp_path, 4, *UNSEEN, "--grid-weight", 5))
    assert code == 0, said
    assert "resumed at step 2\n" in said
    assert torch.load(path, weights_only=True)["options"]["grid_weight"] == 5


@pytest.mark.parametrize(
    ("config", "more", "expected"),
    [
        ("train_adaattn", [], {"style", "local"}),
        ("train_adaattn", ["--similarity-weight", 300], {"style", "local", "similarity"}),
        ("train_stya2k", [], {"style", "a2k"}),
        ("train_neat", ["--side", 64], {
            *("style", "content", "identity", "recovery", "style_contrast", "content_contrast"),
            *("domain", "simple", "complex", "critics", "alive", "range"),
        }),
        ("train_nnst_d", ["--side", 64], {
            *("pyramid", "cycle", "patches", "critics", "alive", "range"),
        }),
        ("train_ours", ["--model", "dynast", "--side", 64], {
            *("content", "style", "covariance", "nearest", "local"),
            *("identity", "consistency", "alive", "range", "grid"),
        }),
        # Where no 3x3 filter learns, none can be woken.
        ("train_ours", ["--init", "adaattn", "--frozen", "encoder", "decoder"], {
            *("content", "style", "covariance", "nearest", "local"),
            *("identity", "consistency", "range", "grid"),
        }),
    ],
)  # fmt: skip
def test_the_configs_train_their_systems(
    material: Path,
    tmp_path: Path,
    train: Train,
    config: str,
    more: list[object],
    expected: set[str],
) -> None:
    code, said = train(
        "--config", ROOT / f"configs/{config}.yaml", *pictures(material),
        "--out", tmp_path, "--steps", 2, *more,
    )  # fmt: skip
    assert code == 0, said
    assert terms(said).keys() == expected
    trained = models.load(tmp_path / "weights.safetensors")
    assert type(trained).__name__ in ("Transfer", "NeAT", "DynaST", "NNSTD")


def test_fine_tuning_needs_only_clips_and_styles(
    material: Path, tmp_path: Path, train: Train
) -> None:
    code, said = train(
        "--config", ROOT / "configs/finetune_temporal.yaml",
        "--clips", material / "clips", "--style", material / "style",
        "--vgg", material / "vgg.safetensors", *TINY, "--steps", 4, "--out", tmp_path,
    )  # fmt: skip
    assert code == 0, said
    assert "left out" in said
    assert "broken.mp4" in said
    assert "92 of 92 tensors begin from compact" in said
    assert {"similarity", "consistency"} <= terms(said).keys()
    models.load(tmp_path / "weights.safetensors")


def test_a_distilled_encoder_has_unit_means_and_starts_a_training(
    material: Path, tmp_path: Path, train: Train
) -> None:
    code, said = train(
        "--config", ROOT / "configs/distill_encoder.yaml", *pictures(material),
        "--steps", 2, "--out", tmp_path, schema=DistilOptions, task="training.distill",
    )  # fmt: skip
    assert code == 0, said
    assert terms(said).keys() == {f"relu{n}" for n in SHALLOW_TO_DEEP} | {"alive"}
    encoder = Encoder(5, 0.25)
    encoder.load(tmp_path / "weights.safetensors")
    photographs = Pictures(read([str(material / "content")], 90))
    maps = encoder(torch.cat(list(photographs.survey(2, 64))))
    means = [m.mean((0, 2, 3)) for m in maps]
    # Kept in half precision, whose rounding the layers add up.
    assert all(m.max() < 1.02 and m.mean() > 0.5 for m in means)
    model = models.build("adaattn")
    begin(model, f"encoder={tmp_path / 'weights.safetensors'}")
    assert torch.equal(model.encoder.conv1_1.weight, encoder.conv1_1.weight)


def test_statistics_are_of_every_place() -> None:
    """Also of maps so large that one would like to leave some out."""
    x, y = features(1, 3, 160, 160).requires_grad_(), features(1, 3, 96, 130, seed=1)
    for loss in (statistics_loss, covariance_loss):
        (slope,) = torch.autograd.grad(loss(x, y), x)
        assert (slope != 0).all()
    flat, other = x.flatten(2), y.flatten(2)
    wanted = (flat.mean(2) - other.mean(2)).square().mean()
    spread = flat.std(2, correction=0) - other.std(2, correction=0)
    assert torch.isclose(statistics_loss(x, y), wanted + spread.square().mean(), rtol=1e-3)


@pytest.mark.parametrize(("mean", "spread"), [(1, 1), (8, 0.25), (1, 0.02)])
def test_statistics_of_half_precision_are_those_of_its_values(mean: float, spread: float) -> None:
    x = mean + spread * torch.randn(2, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    x = x.bfloat16()
    flat = x.double().flatten(2)
    wanted = [flat.mean(2), flat.var(2, correction=0).add(1e-5).sqrt()]
    for found, exact in zip(moments(x), wanted, strict=True):
        assert torch.allclose(found.double(), exact, rtol=1e-3)
    exact = (flat - wanted[0][..., None]) / wanted[1][..., None]
    assert torch.allclose(standardise(x).double().flatten(2), exact, atol=1e-3)


def test_a_filter_that_never_answers_is_woken() -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 2, 3)
    with torch.no_grad():
        conv.bias[0] = -3
    optimiser = torch.optim.Adam(conv.parameters(), 0.05)
    pictures = torch.rand(2, 3, 16, 16)
    assert not (conv(pictures)[:, 0] > 0).any()
    for _ in range(200):
        optimiser.zero_grad()
        asleep(conv(pictures)).backward()
        optimiser.step()
    assert (conv(pictures)[:, 0] > 0).any()
    assert asleep(conv(pictures)) == 0


def test_filters_that_drift_far_above_zero_come_back() -> None:
    generator = torch.Generator().manual_seed(0)
    answers = torch.randn(2, 3, 16, 16, generator=generator)
    answers[:, 1] += 1000
    answers.requires_grad_()
    far = asleep(answers)
    assert far > 2
    (slope,) = torch.autograd.grad(far, answers)
    assert slope[:, 1].mean() > 0  # smaller answers cost less
    assert not slope[:, (0, 2)].any()


def narrow(system: str, material: Path, out: Path, steps: int, *more: object) -> list[object]:
    """As its config says, but with few channels."""
    values = read_yaml(ROOT / f"configs/train_{system}.yaml")
    values["model_options"]["width"] = NARROW
    init = [f"encoder={(material / 'encoder.safetensors').resolve()}"]
    config = out.parent / f"{out.name}.yaml"
    config.write_text(json.dumps(values | {"init": init}))  # JSON is YAML
    given = pictures(material)
    return ["--config", config, *given, "--out", out, "--steps", steps, "--decay", 0, *more]


def test_what_learns_beside_a_model_goes_on_too(
    material: Path, tmp_path: Path, train: Train
) -> None:
    calm, stopped = tmp_path / "calm", tmp_path / "stopped"
    assert train(*narrow("neat", material, calm, 4))[0] == 0
    assert train(*narrow("neat", material, stopped, 2))[0] == 0
    assert "resumed at step 2" in train(*narrow("neat", material, stopped, 4))[1]
    a, b = (torch.load(f / "checkpoint.pt", weights_only=True) for f in (calm, stopped))
    assert {name.split(".")[0] for name in a["beside"]} == {"critics", "heads"}
    for part in ("model", "beside"):
        assert all(torch.equal(a[part][name], b[part][name]) for name in a[part])
    code, said = train(*narrow("neat", material, stopped, 6, "--domain-weight", 0))
    assert code == 2
    assert "of other terms of the loss (--domain-weight 5.0 (now 0.0))" in said


def test_what_learns_beside_a_model_has_a_rate_of_its_own(
    material: Path, tmp_path: Path, train: Train
) -> None:
    kept = []
    for steps in (1, 2):
        out = tmp_path / f"{steps}"
        assert train(*narrow("neat", material, out, steps, "--critic-rate", 0))[0] == 0
        kept.append(torch.load(out / "checkpoint.pt", weights_only=True))
    a, b = kept
    assert all(torch.equal(a["beside"][name], b["beside"][name]) for name in a["beside"])
    assert not all(torch.equal(a["model"][name], b["model"][name]) for name in a["model"])


def test_a_short_training_of_neat_lowers_its_loss(
    material: Path, tmp_path: Path, train: Train
) -> None:
    """Against a run that learns next to nothing: chance follows from the number of a step, so both
    see the same batches, and only the learning differs. The style weighs more than in the config:
    in so few steps the discriminators would drown it."""
    losses = []
    for rate in (1e-9, 0.0005):
        more = ("--rate", rate, "--warmup", 1, "--log-every", 8, "--accumulate", 1)
        more += ("--style-weight", 50)
        code, said = train(*narrow("neat", material, tmp_path / f"{rate}", 32, *more))
        assert code == 0, said
        losses.append(terms([line for line in said.splitlines() if line.startswith("step ")][-1]))
    still, learnt = losses
    for name in ("style", "identity", "critics"):
        assert learnt[name] < 0.9 * still[name], name


def test_a_model_learns_to_paint_as_another_does(
    material: Path, tmp_path: Path, train: Train
) -> None:
    """At first; then the losses take over."""
    words = ["--imitation-steps", 24, "--rate", 0.002, "--warmup", 1, "--side", 64]
    words += ["--log-every", 8, "--decay", 0]
    code, said = train(*narrow("stya2k", material, tmp_path / "alone", 26, *words))
    assert (code, "--teacher" in said) == (2, True)
    code, said = train(*compact(material, tmp_path, 26, *words))
    assert code == 0, said
    first, *_, last, after = [terms(x) for x in said.splitlines() if x.startswith("step ")]
    assert last["imitation"] < 0.8 * first["imitation"]
    assert "style" in after.keys() - last.keys()
    assert "imitation" not in after


def test_a_crop_that_is_enlarged_is_smooth() -> None:
    """Doubled pixels would teach the grid that they make."""
    ramp = np.tile(np.arange(0, 240, 10, dtype=np.uint8)[None, :, None], (24, 1, 3))
    (found,) = Pictures([ramp]).batch(1, 48, 1.0, np.random.default_rng(0))
    steps = found[0, 0].diff().abs()[2:-2] * 255
    assert steps.min() > 2
    assert steps.max() < 8


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_workers_train_one_model(material: Path, tmp_path: Path) -> None:
    # Named from where the command runs, as users do: Ray would go elsewhere.
    material, out = (Path(os.path.relpath(path, ROOT)) for path in (material, tmp_path))
    done = run(*compact(material, out, 3, "--workers", 2))
    assert done.returncode == 0, done.stderr
    assert "step 3/3" in done.stdout
    models.load(tmp_path / "weights.safetensors")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_workers_train_what_learns_beside_a_model_too(material: Path, tmp_path: Path) -> None:
    """Discriminators and heads of neat, with two batches a step, as its config says."""
    out = tmp_path / "out"
    done = run(*narrow("neat", material, out, 3, "--workers", 2, "--rate", 0.01, "--warmup", 1))
    assert done.returncode == 0, done.stderr
    assert "step 3/3" in done.stdout
    assert terms(done.stdout).keys() >= {"critics", "style_contrast", "content_contrast", "domain"}
    kept = torch.load(out / "checkpoint.pt", weights_only=True)
    assert {name.split(".")[0] for name in kept["beside"]} == {"critics", "heads"}
    averages = [s["exp_avg"].abs().max() for s in kept["optimiser"]["state"].values()]
    assert len(averages) > len(kept["beside"])
    assert min(averages) > 0  # every parameter has learnt
    models.load(out / "weights.safetensors")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_workers_refuse_in_one_line(material: Path, tmp_path: Path) -> None:
    done = run(*compact(material, tmp_path, 3, "--workers", 2, "--model", "none"))
    assert done.returncode == 2
    assert done.stderr.startswith("error: no model 'none'")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_what_one_worker_cannot_do_is_said_once(material: Path, tmp_path: Path) -> None:
    """The first alone writes: the others wait for it, and starting all again would be of no use."""
    (tmp_path / "checkpoint.part").mkdir()
    done = run(*compact(material, tmp_path, 4, "--workers", 2, "--log-every", 1, *UNSEEN))
    assert done.returncode == 1
    assert done.stderr == f"error: cannot write into {tmp_path}: Is a directory\n"
    assert done.stdout.count("step 1/4") == 1


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_workers_are_stopped_as_one_process_is(material: Path, tmp_path: Path) -> None:
    given = compact(material, tmp_path, 10_000, "--workers", 2, "--log-every", 1, *UNSEEN)
    process = subprocess.Popen(
        [sys.executable, "-m", "training", *map(str, given)],
        cwd=ROOT, env=PATIENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert "step 1/" in process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, said = process.communicate(timeout=180)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert said == "stopped; the same command goes on from the last checkpoint\n"
    assert process.returncode == 130


# -- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "schema"),
    [("train_compact", TrainingOptions), ("distill_encoder", DistilOptions)],
)
def test_full_configs_name_every_option(config: str, schema: type) -> None:
    assert set(read_yaml(ROOT / f"configs/{config}.yaml")) == set(schema.__dataclass_fields__)


def test_the_config_of_compact_states_the_defaults() -> None:
    values = read_yaml(ROOT / "configs/train_compact.yaml")
    # Others may begin from weights that ship, or find no teacher for what they are.
    pupil = {"teacher": values.pop("teacher"), "imitation_steps": values.pop("imitation_steps")}
    assert build(TrainingOptions, values) == TrainingOptions()
    assert build(TrainingOptions, pupil).teacher in models.names()


def test_the_published_weights_are_in_the_configs() -> None:
    """Ours are for means over layers, the published ones for sums."""
    adaattn, stya2k = (
        build(TrainingOptions, read_yaml(ROOT / f"configs/train_{name}.yaml"))
        for name in ("adaattn", "stya2k")
    )

    def published(options: TrainingOptions) -> dict[str, tuple[float, list[str]]]:
        layers = {term: options.layers(term) for term in options.weights}
        return {t: (w / len(layers[t]), list(layers[t])) for t, w in options.weights.items()}

    deep = ["2_1", "3_1", "4_1", "5_1"]
    assert published(adaattn) == {"style": (10, deep), "local": (3, deep)}
    assert published(stya2k) == {
        "style": (10, ["1_1", "2_1", "3_1", "4_1"]),
        "a2k": (1.25, deep),
    }
    rates = [adaattn.rate * schedule(adaattn, 10000 * n + 5000) for n in range(5)]
    assert rates == pytest.approx([2e-4, 2e-4, 6e-5, 1.8e-5, 5.4e-6])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--content", "nowhere", "--style", "nowhere"], "no pictures in nowhere"),
        (["--content", ROOT / "styles", "nowhere"], "no pictures in nowhere: there is no such"),
        (["--content", ROOT / "styles", ROOT / "models"], f"no pictures in {ROOT / 'models'}"),
        (["--clips", "nowhere"], "no videos in nowhere: there is no such folder"),
        (["--stile", "x"], "did you mean --style"),
        (["--init", "none"], "no model 'none'"),
        (["--model", "adaatn"], "did you mean adaattn?"),
        (["--init", "head=compact"], "no part 'head': there is encoder"),
        (["--frozen", "head"], "no part 'head'"),
        (
            ["--model", "adaattn"],
            "encoder is not trained, and no --init gives it weights: --init enc"
            "oder=vgg_narrow (for width 0.25), or encoder=FILE",
        ),
        (["--frozen", "encoder"], "no --init gives it weights: --init encoder=FILE"),
        (["--clips", "x", "--content", "y"], "only with --similarity-weight"),
        (["--style-contrast-weight", 1, "--batch", 1], "--batch 1: contrastive terms compare"),
        (["--cycle-weight", 1], "--cycle-weight is for nnst_d"),
        (["--precision", "int4"], "none of auto, float32, bfloat16"),
        (["--closest", 1.5], "1.5 is above 1"),
        (["--model", "nnst"], "it has nothing to train"),
        (["--coarse-steps", 5], "judged by the network that --deep names"),
        (["--teacher", "compact"], "--teacher compact is of no use: say for how many steps"),
        (["--style-weight", -1], "--style-weight: -1.0 is below 0"),
        (["--alive-weight", "inf"], "--alive-weight: inf is no number"),
        (["--critic-rate", -1], "--critic-rate: -1.0 is below 0"),
        (["--rate", -0.1], "--rate: -0.1 is below 0"),
        (["--longest", -5], "--longest: -5.0 is below 1e-06"),
        (["--longest", 0], "--longest: 0.0 is below 1e-06"),
        (["--longest", "nan"], "--longest: nan is no number"),
        (["--seed", 1 << 64], f"--seed: {1 << 64} is above"),
    ],
)
def test_mistakes_get_one_line(train: Train, given: list[str], message: str) -> None:
    code, said = train(*given)
    assert code == 2
    assert message in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("name", ["content_layers", "layers"])
@pytest.mark.parametrize("share", ["-1", "1.0e+999", "much"])
def test_a_share_of_a_layer_is_a_number_from_0_up(
    name: str, share: str, tmp_path: Path, train: Train
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f'{name}: {{"2_1": {share}, "3_1": 2}}')
    task = (DistilOptions, "training.distill") if name == "layers" else ()
    given = dict(zip(("schema", "task"), task, strict=False))
    code, said = train("--config", config, **given)
    assert code == 2
    assert f"error: {name}: " in said
    assert len(said.splitlines()) == 1


def test_an_encoder_has_a_width(train: Train) -> None:
    code, said = train("--width", -1, schema=DistilOptions, task="training.distill")
    assert (code, said) == (2, "error: --width: -1.0 is below 0.01\n")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "every loss has the weight 0"),
        (["--teacher", "compact", "--imitation-steps", 1], "every loss has the weight 0"),
        (["--range-weight", 1, "--teacher", "compact", "--imitation-steps", 1,
          "--imitation-weight", 0], "--imitation-steps 0 leaves it out"),
    ],
)  # fmt: skip
def test_a_step_without_a_loss_is_refused_before_the_first(
    more: list[object], message: str, material: Path, tmp_path: Path, train: Train
) -> None:
    fields = (f.replace("_", "-") for f in TrainingOptions.__dataclass_fields__)
    none = [word for f in fields if f.endswith("-weight") for word in (f"--{f}", 0)]
    none[none.index("--imitation-weight") + 1] = 1
    code, said = train(*compact(material, tmp_path / "out", 2), *none, *more)
    assert code == 2
    assert message in said
    assert len(said.splitlines()) == 1


def test_a_full_disk_gets_one_line_and_leaves_no_half_a_file(
    material: Path, tmp_path: Path, train: Train
) -> None:
    out, limits = tmp_path / "out", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        code, said = train(*compact(material, out, 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 1
    assert said.splitlines()[-1] == f"error: cannot write into {out}: File too large"
    assert {path.name[:6] for path in out.iterdir()} == {"events", "sheet_"}
    assert train(*compact(material, out, 1))[0] == 0
    # Others may read what one has trained, as they may its checkpoint.
    modes = {path.stat().st_mode for path in (out / "checkpoint.pt", out / "weights.safetensors")}
    assert len(modes) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_where_the_run_is_to_lie_gets_one_line(
    workers: int, material: Path, tmp_path: Path, train: Train
) -> None:
    (tmp_path / "file").touch()
    code, said = train(*compact(material, tmp_path / "file", 1, "--workers", workers))
    assert code == 1
    assert said == f"error: cannot write into {tmp_path / 'file'}: File exists\n"


def test_what_workers_say_that_cannot_be_kept_gets_one_line(
    material: Path, tmp_path: Path, train: Train
) -> None:
    (tmp_path / "progress.txt").mkdir()
    code, said = train(*compact(material, tmp_path, 1, "--workers", 2))
    assert (code, said) == (1, f"error: cannot write into {tmp_path}: Is a directory\n")


def too_much() -> torch.Tensor:
    return torch.empty(1 << 50)


def too_much_for_a_gpu() -> torch.Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize("asked", [too_much, too_much_for_a_gpu])
def test_too_little_memory_gets_one_line(
    asked: Callable[[], torch.Tensor],
    material: Path,
    tmp_path: Path,
    train: Train,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Painting, "terms", lambda *_: {"grid": asked()})
    code, said = train(*compact(material, tmp_path, 1, *UNSEEN))
    assert code == 1
    assert said.startswith(
        "error: memory is too short: a smaller --batch or --side needs less, and"
    )
    assert "--accumulate" in said
    assert len(said.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take UTF-8 only")
def test_names_that_are_no_text_are_said_all_the_same(
    material: Path, tmp_path: Path, train: Train
) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    odd.mkdir()
    for name, source in ((b"\xe9.png", "content/0.png"), (b"\xe9.mp4", "clips/waves.mp4")):
        shutil.copy(material / source, odd / os.fsdecode(name))
        (odd / os.fsdecode(b"bad_" + name)).write_text("neither picture nor clip")
    given = ("--content", odd, "--clips", odd, "--similarity-weight", 1)
    code, said = train(*compact(material, tmp_path / "out", 1, *UNSEEN, *given))
    assert code == 0, said
    assert said.count("left out: ") == 2
    for name in ("caf\\xe9/bad_\\xe9.png", "caf\\xe9/bad_\\xe9.mp4"):
        (line,) = [line for line in said.splitlines() if name in line]
        assert line.startswith("left out: ")


def test_pictures_are_seen_as_styles_of_a_stream_are(
    material: Path, tmp_path: Path, train: Train
) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    Image.new("RGB", (1, 1)).save(odd / "pixel.png")
    Image.new("1", (9_000, 9_000)).save(odd / "endless.png")
    (odd / "words.png").write_text("no picture")
    Image.new("RGBA", (64, 64), (200, 0, 0, 0)).save(odd / "clear.png")
    code, said = train(*compact(material, tmp_path / "out", 1), "--style", odd)
    assert code == 0, said
    for name, why in (("pixel", "too small"), ("endless", "81 megapixels"), ("words", "is not a")):
        (line,) = [line for line in said.splitlines() if f"{name}.png" in line]
        assert line.startswith("left out: ")
        assert why in line
    (seen,) = read([str(odd)], 48)
    assert seen.shape == (48, 48, 3)
    assert (seen == 255).all()


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("[1]", "does not say with which options it was made"),
        ("{", "does not say with which options it was made"),
        ('{"width": -1}', "model adaattn: "),
    ],
)
def test_weights_of_no_model_get_one_line(
    stated: str, message: str, material: Path, tmp_path: Path, train: Train
) -> None:
    path = tmp_path / "odd.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata={"model": "adaattn", "model_options": stated})
    config = ("--config", ROOT / "configs/finetune_temporal.yaml", "--init", path)
    code, said = train(*config, *pictures(material), "--out", tmp_path)
    assert code == 2
    assert message in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("junk.safetensors", ["--vgg", "{junk}"], "is not a loss network (.safetensors)"),
        ("other.safetensors", ["--vgg", "{junk}"], "it has no conv1_1.weight"),
        ("junk.safetensors", ["--init", "{junk}"], "is not a weights file (.safetensors)"),
        ("checkpoint.pt", ["--out", "{folder}"], "is damaged; remove it, or choose another --out"),
        ("checkpoint.pt", ["--out", "{folder}"], "is of another model"),
    ],
)
def test_damaged_files_get_one_line(
    name: str, more: list[str], message: str, material: Path, tmp_path: Path, train: Train
) -> None:
    junk = tmp_path / name
    junk.write_bytes(b"junk")
    if name.startswith("other"):
        save_file({"weight": torch.zeros(1)}, junk)
    if "another model" in message:
        torch.save({"weight": torch.zeros(1)}, junk)
    words = [word.format(junk=junk, folder=tmp_path) for word in more]
    code, said = train(*compact(material, tmp_path, 1), *words)
    assert code == 2
    assert message in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("dy", "dx", "found"), [(1, 1, 1), (1, 0, 1), (0, 1, 1), (2, 2, 0), (4, 0, 0), (0, 0, 0)]
)
def test_only_what_changes_with_every_pixel_is_a_grid(dy: int, dx: int, found: float) -> None:
    y, x = torch.meshgrid(torch.arange(48), torch.arange(60), indexing="ij")
    down = (y // dy if dy else 0 * y) + (x // dx if dx else 0)
    picture = (0.4 + 0.2 * (down % 2)).expand(1, 3, -1, -1)
    assert grid_loss(picture).item() == pytest.approx(0.01 * found, abs=1e-4)


def test_without_terms_on_features_there_is_no_loss_network(
    material: Path, tmp_path: Path, train: Train
) -> None:
    given = compact(material, tmp_path / "out", 1, "--vgg", "no such file", *UNSEEN)
    code, said = train(*given)
    assert code == 0, said
    assert terms(said).keys() == {"identity", "alive", "consistency", "range", "grid"}


# -- data --------------------------------------------------------------------------------------


def scene(brightness: int, count: int) -> list[np.ndarray]:
    return [np.full((20, 30, 3), brightness + i, np.uint8) for i in range(count)]


def test_runs_of_frames_end_at_cuts() -> None:
    frames = iter(scene(10, 5) + scene(120, 3))
    assert [len(run) for run in clips.in_shots(frames, 4)] == [4, 1, 3]


def test_long_clips_are_thinned_evenly_to_the_limit() -> None:
    frames = iter([frame for i in range(40) for frame in scene(i, 2)])
    kept = clips.thinned(clips.in_shots(frames, 2), 10 * 2 * 1800)
    assert [run[0][0, 0, 0] for run in kept] == list(range(0, 40, 4))


@pytest.mark.parametrize("frames", [200, 40, 10])
def test_many_clips_keep_within_their_memory(tmp_path: Path, frames: int) -> None:
    """All of them whole would be 120 frames; a share of the last is not one frame each."""
    for i in range(12):
        video(tmp_path / f"{i}.mp4", frames=10)
    frame_bytes = 160 * 96 * 3
    found = clips.read([str(tmp_path)], 96, 4, frames * frame_bytes)
    assert len(found.frames) * frame_bytes == sum(frame.nbytes for frame in found.frames)
    assert min(frames, 120) / 3 < len(found.frames) <= frames
    assert all(len(run) > 1 for run in found.runs)
    assert found.pairs(2, 64, 0.5, np.random.default_rng(0))[0].shape == (2, 3, 64, 64)


def test_memory_for_not_one_pair_gets_one_line(
    material: Path, tmp_path: Path, train: Train
) -> None:
    (tmp_path / "clips").mkdir()
    video(tmp_path / "clips/large.mp4", frames=3, size=(640, 480))
    given = ("--clips", tmp_path / "clips", "--similarity-weight", 1, "--clip-memory-mb", 1)
    code, said = train(*compact(material, tmp_path / "out", 1, "--short-side", 480, *given))
    assert code == 2
    assert "--clip-memory-mb 1 does not hold two frames: give 2, or a smaller" in said
    assert len(said.splitlines()) == 1


def test_pairs_are_frames_of_one_run_in_one_window() -> None:
    ramp = np.linspace(0, 180, 64, dtype=np.uint8)[None, :, None].repeat(48, 0).repeat(3, 2)
    run = [ramp + 10 * i for i in range(4)]
    first, second = clips.Clips([run], apart=2).pairs(8, 16, 0.5, np.random.default_rng(0))
    gaps = ((second - first) * 255).round().flatten(1)
    assert all(len(gap.unique()) == 1 for gap in gaps)
    assert set(gaps[:, 0].tolist()) == {10, 20}


# -- losses ------------------------------------------------------------------------------------


def features(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).relu()


def test_similarity_loss_has_value_and_gradient_of_the_dense_formula() -> None:
    content, view, *both = (features(2, 6, 5, 7, seed=s) + 0.1 for s in range(4))
    painted, again = (x.requires_grad_() for x in both)

    def distances(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        u, v = (F.normalize(x.flatten(2), dim=1) for x in (u, v))
        return 1 - u.mT @ v

    have, want = distances(painted, again), distances(content, view)
    dense = (have / have.sum(1, keepdim=True) - want / want.sum(1, keepdim=True)).abs().mean()
    ours = similarity_loss(painted, again, content, view, rows=8)
    assert ours.item() == pytest.approx(dense.item(), rel=1e-5)
    expected = torch.autograd.grad(dense, (painted, again))
    for a, b in zip(expected, torch.autograd.grad(ours, (painted, again)), strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-8)


def maps(seed: int, side: int = 32, width: int = 0) -> dict[str, torch.Tensor]:
    """Maps of a picture of `side` px, relu1_1 ... relu3_1; `width`: where it is not square."""
    return {
        n: features(1, WIDTHS[n[0]], side >> i, (width or side) >> i, seed=seed + i)
        for i, n in enumerate(SHALLOW_TO_DEEP[:3])
    }


def test_local_target_is_attention_without_parameters() -> None:
    content, style = maps(0), maps(9)
    query, key = (stacked_key(list(m.values()), 3).flatten(2) for m in (content, style))
    weights, value = (query.mT @ key).softmax(2), style["3_1"].flatten(2).mT
    mean = weights @ value
    deviation = (weights @ value.square() - mean.square()).clamp_min(0).sqrt()
    normed = mean_variance_norm(content["3_1"]).flatten(2).mT
    ours = adaattn_target(content, style, "3_1").flatten(2).mT
    assert torch.allclose(ours, deviation * normed + mean, atol=1e-3)


def test_patches_come_apart_and_together() -> None:
    x = features(2, 16, 9, 6)
    apart = patches(x, 4)
    assert apart.shape == (2, 8, 6, 16, 2)
    assert torch.equal(apart[0, 3, 1, 5], x[0, 6:8, 1, 5])
    assert torch.equal(joined(apart.flatten(2, 3), 4, x.shape), x)


def test_a2k_target_of_one_patch_is_both_attentions_in_it() -> None:
    content, style = maps(0), maps(9)
    target = a2k_target(content, style, "3_1")
    query, key = (
        stacked_key(list(m.values()), 3).flatten(2).unflatten(1, (8, -1)) for m in (content, style)
    )
    value = style["3_1"].flatten(2).unflatten(1, (8, -1))
    within = torch.einsum("bhdx,bhdy->bhxy", query, key).softmax(3)
    found = torch.einsum("bhxy,bhdy->bhdx", within, value)
    similar = torch.einsum("bhd,bhdy->bhy", key.mean(3), key).sigmoid()
    spread = (torch.einsum("bhy,bhdy->bhd", similar, value) + value.mean(3)) / (8 * 8 + 1)
    expected = content["3_1"] + (found + spread[..., None]).reshape(content["3_1"].shape)
    assert torch.allclose(target, expected, atol=1e-4)


def test_a2k_target_of_several_patches_finds_the_most_similar_one() -> None:
    """Four patches of the content, six of the style, each written out."""
    content, style = maps(0, 64), maps(9, 64, 96)
    target = a2k_target(content, style, "3_1")
    query, key = (stacked_key(list(m.values()), 3) for m in (content, style))
    query, key, value, ours = (
        x.unflatten(1, (8, -1))[0] for x in (query, key, style["3_1"], target)
    )
    whole = content["3_1"].unflatten(1, (8, -1))[0]

    def places(x: torch.Tensor) -> list[torch.Tensor]:
        """Of each patch (heads,d,64)."""
        rows = x.unfold(2, 8, 8).unfold(3, 8, 8).flatten(4)
        return [rows[:, :, i, j] for i in range(rows.shape[2]) for j in range(rows.shape[3])]

    def coarse(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        similar = (k * k.mean(2, keepdim=True)).sum(1, keepdim=True).sigmoid()
        return ((similar * x).sum(2) + x.mean(2)) / 65

    keys, values = places(key), places(value)
    few_keys = torch.stack([coarse(k, k) for k in keys], 2)
    few_values = torch.stack([coarse(v, k) for v, k in zip(values, keys, strict=True)], 2)
    chosen = set()
    for q, wanted, as_it_is in zip(places(query), places(ours), places(whole), strict=True):
        spread = few_values @ (q.mT @ few_keys).softmax(2).mT
        for head in range(8):
            best = int(torch.stack([(q[head] * k[head]).sum() for k in keys]).argmax())
            chosen.add(best)
            within = (q[head].mT @ keys[best][head]).softmax(1)
            found = values[best][head] @ within.mT
            expected = as_it_is[head] + spread[head] + found
            assert torch.allclose(wanted[head], expected, atol=1e-4)
    assert len(chosen) > 2


def test_every_level_of_a_pyramid_counts_as_much() -> None:
    a, b = (torch.rand(2, 3, 40, 24, generator=torch.Generator().manual_seed(i)) for i in range(2))
    apart = [(x - y).abs().mean() for x, y in zip(split(a, 4), split(b, 4), strict=True)]
    assert len(apart) == 4
    assert pyramid_loss(a, b).item() == pytest.approx(sum(apart).item(), rel=1e-5)
    shade = torch.full_like(a, 0.2)  # has no detail
    assert pyramid_loss(a, a + shade).item() == pytest.approx(0.2, rel=1e-4)


def test_contrast_is_the_printed_sum() -> None:
    x = F.normalize(torch.randn(6, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    shows, painted = [0, 1, 0, 1, 0, 1], [True] * 4 + [False] * 2
    found = []
    for i in range(4):
        others = sum(((x[i] @ x[m]) / 0.2).exp() for m in range(6) if shows[m] != shows[i])
        for j in range(6):
            if j != i and shows[j] == shows[i]:
                alike = ((x[i] @ x[j]) / 0.2).exp()
                found.append(-(alike / (alike + others)).log())
    ours = contrast.contrast_loss(x, torch.tensor(shows), torch.tensor(painted))
    assert ours.item() == pytest.approx(torch.stack(found).mean().item(), rel=1e-5)


@pytest.mark.parametrize("term", contrast.LAYERS)
def test_batches_one_by_one_have_the_gradient_of_all_at_once(term: str) -> None:
    kinds = 4 if term == "style_contrast" else 2
    torch.manual_seed(0)
    heads = contrast.Heads({term: 6})
    maps = [[torch.rand(2, 6, 3, 3) for _ in range(kinds)] for _ in range(3)]

    def vectors() -> list[torch.Tensor]:
        return [heads(term, batch) for batch in maps]

    own = list(heads.parameters())
    shows = [2 * i + contrast.identities(term, 2, kinds, torch.device("cpu")) for i in range(3)]
    anchors = (torch.arange(2 * kinds) < 4).repeat(3)
    whole = contrast.contrast_loss(torch.cat(vectors()), torch.cat(shows), anchors)
    expected = torch.autograd.grad(whole, own)
    banks = [v.detach() for v in vectors()]
    for place in range(3):
        loss = contrast.accumulated(vectors()[place], banks, place, term, 2)
        assert loss.item() == pytest.approx(whole.item(), rel=1e-5)
        (loss / 3).backward()
    for p, gradient in zip(own, expected, strict=True):
        assert torch.allclose(p.grad, gradient, atol=1e-6)


def test_patches_are_split_by_the_edges_of_the_photograph() -> None:
    """Where the photograph is smooth the painting's patches are simple, whatever is painted."""
    rough = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    photo = (rough * (torch.arange(64) >= 32)).expand(-1, 3, -1, -1)  # rough on the right
    painted = torch.arange(64.0).expand(2, 3, 64, 64) / 64  # says where it is
    simple, difficult = critics.split(painted, critics.sobel(photo))
    assert simple.shape == difficult.shape == (2, 4, 3, 32, 32)
    assert simple.mean() < difficult.mean()
    assert simple.amin() >= 0
    assert simple.diff(dim=4).mean() == pytest.approx(64 * 3 / 16 / 32 / 64, rel=0.5)
    edges = critics.sobel(torch.arange(8.0).expand(1, 3, 8, 8))
    assert torch.equal(edges[0, 0, :, 1:-1], torch.full((8, 6), 8.0))


@pytest.mark.parametrize("terms", [["domain"], ["simple", "complex"], ["patches"]])
def test_model_and_discriminators_learn_each_their_own(terms: list[str]) -> None:
    torch.manual_seed(0)
    judges = critics.Critics(terms)
    painted, content, style = (torch.rand(2, 3, 64, 64) for _ in range(3))
    found = judges(painted.requires_grad_(), content, style)
    assert found.keys() == {*terms, "critics"}
    asked = torch.stack([found[term] for term in terms]).sum()
    parameters = list(judges.parameters())
    (gradient,) = torch.autograd.grad(asked, painted, retain_graph=True)
    assert gradient.abs().sum() > 0
    unused = torch.autograd.grad(asked, parameters, allow_unused=True, retain_graph=True)
    assert all(g is None for g in unused)
    learnt = torch.autograd.grad(found["critics"], [*parameters, painted], allow_unused=True)
    assert learnt[-1] is None
    assert all(g is not None and g.abs().sum() > 0 for g in learnt[:-1])


def test_loss_network_is_scaled_to_its_photographs(material: Path) -> None:
    network = load_loss_network(str(material / "vgg.safetensors"))
    photographs = torch.rand(4, 3, 40, 40, generator=torch.Generator().manual_seed(1))
    layers = ["1_1", "2_1", "3_1", "3_4"]
    network.calibrate([photographs], layers)
    means = {n: m.mean().item() for n, m in network(photographs, layers).items()}
    assert means == {n: pytest.approx(1, abs=1e-3) for n in layers}


@pytest.fixture
def distilled() -> dict[str, torch.Tensor]:
    """A network for `--deep`, down to relu2_1."""
    generator = torch.Generator().manual_seed(2)

    def convolution(name: str, *shape: int) -> dict[str, torch.Tensor]:
        weight = torch.randn(*shape, generator=generator) / shape[1]
        return {f"{name}.weight": weight, f"{name}.bias": torch.rand(shape[0], generator=generator)}

    return (
        convolution("conv0", 3, 3, 1, 1)
        | convolution("conv1_1", 4, 3, 3, 3)
        | convolution("conv1_1.aux", 8, 4, 1, 1)
        | convolution("conv1_2", 4, 4, 3, 3)
        | convolution("conv2_1", 8, 4, 3, 3)
        | convolution("conv2_1.aux", 16, 8, 1, 1)
    )


def test_coarse_steps_are_judged_by_the_distilled_network_alone(
    material: Path, tmp_path: Path, distilled: dict[str, torch.Tensor]
) -> None:
    save_file(distilled, tmp_path / "distilled.safetensors")
    paths = (str(material / "vgg.safetensors"), str(tmp_path / "distilled.safetensors"))
    network = load_loss_network(*paths)
    photographs = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    layers = ["1_1", "2_1"]
    network.calibrate([photographs], layers, coarse=True)
    fine, coarse = (network(photographs, layers, coarse=c) for c in (False, True))
    for name in layers:
        assert fine[name].shape == coarse[name].shape
        assert not torch.allclose(fine[name], coarse[name], atol=0.1)
        assert fine[name].mean().item() == pytest.approx(1, abs=1e-3)
        assert coarse[name].mean().item() == pytest.approx(1, abs=1e-3)
    with pytest.raises(ValueError, match="has no relu3_1"):
        network(photographs, ["3_1"], coarse=True)


def test_nearest_loss_has_the_gradient_of_the_dense_minimum() -> None:
    generator = torch.Generator().manual_seed(3)
    style = torch.randn(1, 8, 6, 6, generator=generator)
    x = torch.randn(1, 8, 5, 5, generator=generator).requires_grad_()
    centre = style.flatten(2).mean(2, keepdim=True)
    a, b = (F.normalize((t.flatten(2) - centre).mT, dim=2) for t in (x, style))
    (dense,) = torch.autograd.grad((1 - a @ b.mT).min(2).values.mean(), x)
    (ours,) = torch.autograd.grad(nearest_loss(x, style), x)
    assert torch.allclose(dense, ours, atol=1e-6)


def test_the_narrow_encoder_ships() -> None:
    torch.manual_seed(0)
    model = models.build("adaattn")
    begin(model, "encoder=vgg_narrow")
    shipped = load_file(models.weights_file("vgg_narrow"))
    assert shipped.keys() == model.encoder.state_dict().keys()
    photo = torch.from_numpy(data.astronaut()[:256, :256]).permute(2, 0, 1)[None].float() / 255
    for features in model.encoder(photo):
        assert 0.4 < features.mean() < 1.6
    with pytest.raises(ValueError, match="no model 'vgg_narrow'"):
        models.load("vgg_narrow")


def test_a_part_is_given_whole_weights(material: Path, tmp_path: Path, train: Train) -> None:
    """The tensors of any width alone would leave an encoder that is never trained at random."""
    model = models.build("adaattn", width=0.5)
    with pytest.raises(ValueError, match=r"2 of 28 tensors fit, conv1_1.weight is .*: the width"):
        begin(model, "encoder=vgg_narrow")
    code, said = train(*narrow("adaattn", material, tmp_path / "out", 1, "--init", "adaattn"))
    assert code == 2
    assert "error: the encoder is not trained, and no --init gives it weights" in said


def test_weights_lie_where_they_lie(tmp_path: Path) -> None:
    """A = in the name of a file or a folder does not end the name of a part."""
    folder = tmp_path / "lr=1e-4"
    folder.mkdir()
    weights, encoder = (
        shutil.copy(models.weights_file(name), folder / f"{name}.safetensors")
        for name in ("compact", "vgg_narrow")
    )
    options = resolved(TrainingOptions(model=None, init=[f"{weights}"]))
    assert options.model == "compact"
    model, wanted = models.build("compact"), models.load("compact").state_dict()
    begin(model, f"{weights}")
    assert all(torch.equal(t, wanted[name]) for name, t in model.state_dict().items())
    begun = begin(models.build("adaattn"), f"encoder={encoder}")
    assert "encoder.conv1_1.weight" in begun


def test_half_precision_is_taken_where_the_processor_has_it() -> None:
    flags = Path("/proc/cpuinfo")
    if not flags.exists() or "flags" not in flags.read_text():
        pytest.skip("no list of the processor's features here")
    has = any(f in flags.read_text().split() for f in ("avx512_bf16", "amx_bf16"))
    cpu = torch.device("cpu")
    assert dtype("auto", cpu) == (torch.bfloat16 if has else torch.float32)
    assert dtype("bfloat16", cpu) == torch.bfloat16


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ({"conv1_2.bias": None}, "not whole: conv1_2"),
        ({"conv2_1.weight": None}, "not whole: conv2_1"),
        ({"conv2_1.weight": torch.full((16, 8, 3, 3), torch.nan)}, "damaged: conv2_1"),
        ({"conv3_1.weight": torch.zeros(16, 5, 3, 3)}, "damaged: conv3_1"),
    ],
)
def test_a_damaged_loss_network_is_refused(
    material: Path, tmp_path: Path, spoilt: dict[str, torch.Tensor | None], said: str
) -> None:
    tensors = load_file(material / "vgg.safetensors") | spoilt
    path = tmp_path / "vgg.safetensors"
    save_file({name: t for name, t in tensors.items() if t is not None}, path)
    with pytest.raises(ValueError, match=said):
        load_loss_network(str(path))


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ({"conv0.bias": None}, "not whole: conv0"),
        ({"conv0.weight": torch.zeros(3, 4, 1, 1)}, "damaged: conv0"),
        ({"conv0.bias": torch.full((3,), torch.inf)}, "damaged: conv0"),
        ({"conv2_1.aux.bias": None}, "not whole: conv2_1.aux"),
        ({"conv2_1.aux.weight": None}, "not whole: conv2_1.aux"),
        ({"conv2_1.aux.weight": torch.zeros(16, 7, 1, 1)}, "damaged: conv2_1.aux"),
        ({"conv1_1.aux.weight": torch.full((8, 4, 1, 1), torch.nan)}, "damaged: conv1_1.aux"),
        ({"conv2_1.weight": None, "conv2_1.bias": None}, "not whole: conv2_1"),
    ],
)
def test_a_damaged_distilled_network_is_refused(
    material: Path,
    tmp_path: Path,
    distilled: dict[str, torch.Tensor],
    spoilt: dict[str, torch.Tensor | None],
    said: str,
) -> None:
    path = tmp_path / "distilled.safetensors"
    save_file({n: t for n, t in (distilled | spoilt).items() if t is not None}, path)
    with pytest.raises(ValueError, match=f"{said} "):
        load_loss_network(str(material / "vgg.safetensors"), str(path))
