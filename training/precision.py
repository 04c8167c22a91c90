"""Half precision where the hardware has instructions for it: emulated it is ten times slower."""

import torch

# As torch names them: x86 has either, 64-bit Arm the last.
CPU_FEATURES = ("avx512_bf16", "amx_bf16", "bf16")


def dtype(name: str, device: torch.device) -> torch.dtype:
    """One of options.PRECISIONS -> the type; `auto` is bfloat16 where `device` is fast in it."""
    if name == "auto":
        name = "bfloat16" if has_bfloat16(device) else "float32"
    kind: torch.dtype = getattr(torch, name)
    return kind


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and any(map(torch.cpu.get_capabilities().get, CPU_FEATURES))
