"""VGG-19 as a fixed judge of pictures: named ReLU maps, each scaled to a mean activation near 1.

Two sources. torchvision's VGG-19 (zero padding, ImageNet mean and deviation), all layers true. Or
safetensors files with layers named `conv1_1.weight` ...: the original Caffe weights as deep as the
file goes (reflection padding, as usual for style), and for deeper layers a narrow distilled network
whose 1x1 `aux` convolutions predict the original maps (Wang et al., Collaborative Distillation,
CVPR 2020). A `conv0` in the file, as encoders of models/vgg.py have it, takes colours as they are.
"""

from collections.abc import Iterable

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

CONVS = tuple(f"{b}_{i}" for b, n in enumerate((2, 2, 4, 4, 4), 1) for i in range(1, n + 1))
CAFFE_MEAN = (103.939, 116.779, 123.68)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Tower(nn.Module):
    """3x3 convolutions, ReLU and 2x2 max pooling of VGG-19 as deep as `weights` goes."""

    def __init__(self, weights: dict[str, Tensor], padding: str) -> None:
        super().__init__()
        self.padding = padding
        self.names = [n for n in CONVS if f"conv{n}.weight" in weights]
        for name in ["0", *self.names] if "conv0.weight" in weights else self.names:
            self.register_buffer(f"w{name}", weights[f"conv{name}.weight"].float())
            self.register_buffer(f"b{name}", weights[f"conv{name}.bias"].float())

    def forward(self, x: Tensor, wanted: Iterable[str]) -> dict[str, Tensor]:
        """Normalised input -> {layer: ReLU map}; stops at the deepest wanted layer."""
        wanted, maps = set(wanted), {}
        for name in self.names:
            if name.endswith("_1") and name != "1_1":
                x = F.max_pool2d(x, 2)
            x = F.pad(x, (1, 1, 1, 1), mode=self.padding)
            x = F.relu(F.conv2d(x, getattr(self, f"w{name}"), getattr(self, f"b{name}")))
            if name in wanted:
                maps[name] = x
            if len(maps) == len(wanted):
                break
        return maps


class LossNetwork(nn.Module):
    """RGB NCHW in [0, 1] -> {layer: features}."""

    def __init__(self, true: Tower, deep: Tower | None, aux: dict[str, Tensor], caffe: bool):
        super().__init__()
        self.true, self.deep, self.caffe = true, deep, caffe
        for name, tensor in aux.items():
            self.register_buffer(name.replace(".", "_"), tensor.float())

    def forward(self, x: Tensor, layers: Iterable[str], coarse: bool = False) -> dict[str, Tensor]:
        """Features of the named layers ("1_1" ... "5_4"), in the precision of the network;
        `coarse`: all of them from the distilled network, which is several times faster."""
        layers = list(layers)
        shallow = [] if coarse else [n for n in layers if n in self.true.names]
        rest = [n for n in layers if n not in shallow]
        x = x.to(self.true.w1_1.dtype)
        maps = self.true(self._normalise(x), shallow) if shallow else {}
        if rest:
            maps |= self._deep(x, rest)
        return {n: maps[n] for n in layers}

    def _normalise(self, x: Tensor) -> Tensor:
        if hasattr(self.true, "w0"):
            return F.conv2d(x, self.true.w0, self.true.b0)
        if self.caffe:
            return x.flip(1) * 255 - x.new_tensor(CAFFE_MEAN)[:, None, None]
        mean, deviation = (x.new_tensor(v)[:, None, None] for v in IMAGENET)
        return (x - mean) / deviation

    def _deep(self, x: Tensor, layers: list[str]) -> dict[str, Tensor]:
        if self.deep is None:
            raise ValueError(f"the loss network ends before relu{layers[0]}: give the deep weights")
        for name in layers:
            if not hasattr(self, f"conv{name}_aux_weight"):
                raise ValueError(f"the distilled network has no relu{name}: leave it out")
        maps = self.deep(F.conv2d(x, self.conv0_weight, self.conv0_bias), layers)
        return {
            n: F.relu(
                F.conv2d(
                    m, getattr(self, f"conv{n}_aux_weight"), getattr(self, f"conv{n}_aux_bias")
                )
            )
            for n, m in maps.items()
        }

    @torch.no_grad()
    def calibrate(
        self, photographs: Iterable[Tensor], layers: list[str], coarse: bool = False
    ) -> None:
        """Rescale the weights so that each layer's mean activation over the photographs is 1, those
        of the distilled network (`coarse`: of all layers) too.

        ReLU and pooling commute with positive factors, so nothing has to be divided later.
        """
        true = [n for n in layers if n in self.true.names]
        distilled = layers if coarse else [n for n in layers if n not in true]
        sums, deep = dict.fromkeys(true, 0.0), dict.fromkeys(distilled, 0.0)
        count = 0
        for picture in photographs:
            for name, m in self(picture, true).items():
                sums[name] += m.float().mean().item()
            for name, m in self(picture, distilled, coarse=True).items():
                deep[name] += m.float().mean().item()
            count += 1
        before = 1.0
        for name in self.true.names:
            scale = count / sums[name] if name in sums else before
            getattr(self.true, f"w{name}").mul_(scale / before)
            getattr(self.true, f"b{name}").mul_(scale)
            before = scale
        for name, total in deep.items():
            for part in ("weight", "bias"):
                getattr(self, f"conv{name}_aux_{part}").mul_(count / total)


def load_loss_network(vgg: str, deep: str | None = None) -> LossNetwork:
    """`vgg`: "torchvision" or a safetensors path; `deep`: path of the distilled network.

    ValueError where a file is not what it should be.
    """
    if vgg == "torchvision":
        if deep is not None:
            raise ValueError("--deep is for a file in --vgg: torchvision has every layer")
        return _from_torchvision()
    true = _read(vgg, "conv1_1.weight")
    if deep is None:
        return _frozen(LossNetwork(Tower(true, "reflect"), None, {}, caffe=True))
    distilled = _read(deep, "conv0.weight")
    aux = {k: v for k, v in distilled.items() if "aux" in k or k.startswith("conv0")}
    return _frozen(
        LossNetwork(Tower(true, "reflect"), Tower(distilled, "reflect"), aux, caffe=True)
    )


def _read(path: str, needed: str) -> dict[str, Tensor]:
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a loss network (.safetensors): {error}") from error
    if needed not in tensors:
        raise ValueError(f"{path} is not a loss network: it has no {needed}")
    there = {name.rpartition(".")[0] for name in tensors}
    named = [name for name in CONVS if there & {f"conv{name}", f"conv{name}.aux"}]
    channels = _outputs(path, tensors, "conv0", 3, 1) if "conv0" in there else 3
    for name in CONVS[: CONVS.index(named[-1]) + 1] if named else []:
        channels = _outputs(path, tensors, f"conv{name}", channels, 3)
        if f"conv{name}.aux" in there:
            _outputs(path, tensors, f"conv{name}.aux", channels, 1)
    return tensors


def _outputs(path: str, tensors: dict[str, Tensor], conv: str, inputs: int, side: int) -> int:
    """The channels that a convolution makes; ValueError unless it is whole, fits and is finite."""
    weight, bias = (tensors.get(f"{conv}.{part}") for part in ("weight", "bias"))
    if weight is None or bias is None:
        raise ValueError(f"{path} is not whole: {conv} is missing, or a part of it")
    fits = weight.shape[1:] == (inputs, side, side) and bias.shape == weight.shape[:1]
    if not fits or not (weight.isfinite().all() and bias.isfinite().all()):
        raise ValueError(f"{path} is damaged: {conv} does not fit or is not finite")
    return len(weight)


def _from_torchvision() -> LossNetwork:
    try:
        from torchvision.models import VGG19_Weights, vgg19
    except (ImportError, RuntimeError) as error:
        raise ValueError(
            "torchvision is not usable here; install it beside torch, or name a safetensors file"
        ) from error
    layers = [m for m in vgg19(weights=VGG19_Weights.DEFAULT).features if isinstance(m, nn.Conv2d)]
    weights: dict[str, Tensor] = {}
    for name, layer in zip(CONVS, layers, strict=True):
        weights |= {f"conv{name}.weight": layer.weight.data, f"conv{name}.bias": layer.bias.data}
    return _frozen(LossNetwork(Tower(weights, "constant"), None, {}, caffe=False))


def _frozen(network: LossNetwork) -> LossNetwork:
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
