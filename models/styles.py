"""Style codes: plain named tensors. Tensors named `GROUP.name` with a `GROUP.key_value` beside them
are attention summaries (attention.py); all others are moments, which simply add."""

from torch import Tensor

from models import attention

Code = dict[str, Tensor]


def mix(codes: list[Code], weights: list[float]) -> Code:
    """Weighted sum of codes of one model; weights are scaled to sum 1."""
    total = sum(weights)
    if len(codes) != len(weights) or min(weights) < 0 or total <= 0:
        raise ValueError(f"weights of styles must not be negative nor all zero: {weights}")
    shares = [w / total for w in weights]
    if len(codes) == 1:
        return codes[0]
    mixed: Code = {}
    for group in dict.fromkeys(name.split(".")[0] for name in codes[0]):
        parts = [select(code, group) for code in codes]
        if "key_value" in parts[0]:
            sums = attention.mix(parts, shares)
        else:
            sums = {n: attention.weighted([p[n] for p in parts], shares) for n in parts[0]}
        mixed |= {f"{group}.{name}": tensor for name, tensor in sums.items()}
    return mixed


def select(code: Code, group: str) -> Code:
    """The tensors of one group, by their names within it."""
    start = group + "."
    return {name.removeprefix(start): t for name, t in code.items() if name.startswith(start)}
