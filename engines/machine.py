"""What this machine has to run models on, in words."""

import subprocess
from importlib.metadata import version

import torch

from engines import HOMES
from engines.choice import installed

FEATURES = {
    "avx2": "AVX2",
    "avx512_f": "AVX-512",
    "avx512_vnni": "VNNI",
    "avx_vnni": "AVX-VNNI",
    "avx512_bf16": "bfloat16",
    "amx_bf16": "AMX",
    "bf16": "bfloat16",
    "neon": "NEON",
    "sve": "SVE",
}
"""Of a CPU, as torch names them: what makes convolutions fast."""


def processor() -> str:
    """The CPU, its cores, and what of FEATURES it has."""
    about = torch.cpu.get_capabilities()
    found = dict.fromkeys(shown for name, shown in FEATURES.items() if about.get(name))
    name = about.get("cpu_name") or about.get("architecture", "CPU")
    return f"{name}, {about['num_logical_cores']} cores, {' '.join(found) or 'no vector units'}"


def graphics() -> list[str]:
    """One line for each GPU that torch can use; with none, why."""
    if torch.backends.mps.is_available():
        return ["Apple, through MPS"]
    if not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        return ["none that torch can use" if built else "none: this torch is built for CPUs only"]
    lines = []
    for i in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(i)
        gib = about.total_memory / 2**30
        lines.append(f"cuda:{i} {about.name}, {gib:.0f} GiB, compute {about.major}.{about.minor}")
    return [*lines, f"driver {driver()}"]


def driver() -> str:
    """The version of the NVIDIA driver."""
    words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown (nvidia-smi does not answer)"
    return done.stdout.strip()


def runtimes() -> dict[str, str]:
    """Each kind of engine and its runtime, or why there is `not` one."""
    found, packages = {}, {"torch": "torch", "cuda": "torch", **installed()}
    for kind in HOMES:
        if kind in ("cuda", "tensorrt") and not torch.cuda.is_available():
            found[kind] = "not here: torch finds no CUDA GPU"
        elif kind == "tensorrt":
            found[kind] = tensorrt()
        elif kind in packages:
            found[kind] = f"{packages[kind]} {version(packages[kind])}"
        else:
            found[kind] = f"not installed ({kind})"
    if "onnx" in packages:
        found["onnx"] += f" for {' '.join(providers())}"
    return found


def tensorrt() -> str:
    """Asked of itself, for its package has several names."""
    from engines.tensorrt import installed_version

    try:
        return f"tensorrt {installed_version()}"
    except ValueError as error:
        return f"not here: {error}"


def providers() -> list[str]:
    """What ONNX Runtime was built to run on, such as CUDA."""
    import onnxruntime

    names = onnxruntime.get_available_providers()
    return [name.removesuffix("ExecutionProvider") for name in names]
