"""Style codes: plain named tensors, `GROUP.name`, made once per style.

Three kinds of groups. With `key_value`: summaries of linear attention (attention.py), which add.
With `share`: what only one picture can hold (softmax keys, patches); mixing keeps the parts of all
pictures as `GROUP@0`, `GROUP@1` ..., each with its share, and the model averages what it attends to
(AdaAttN, section 3.5). All others are moments, which add.
"""

from torch import Tensor

from models import attention

Code = dict[str, Tensor]


def mix(codes: list[Code], weights: list[float]) -> Code:
    """Weighted sum of codes of one model; weights are scaled to sum 1."""
    total = sum(weights)
    if len(codes) != len(weights) or min(weights) < 0 or total <= 0:
        raise ValueError(f"weights of styles must not be negative nor all zero: {weights}")
    used = [(code, w / total) for code, w in zip(codes, weights, strict=True) if w]
    if len(used) == 1:
        return used[0][0]
    mixed: Code = {}
    for group in dict.fromkeys(base(name) for code, _ in used for name in code):
        held = [(part, share) for code, share in used for part in parts(code, group)]
        first = held[0][0]
        if "share" in first:
            sums = {
                f"{group}@{i}.{name}": tensor * share if name == "share" else tensor
                for i, (part, share) in enumerate(held)
                for name, tensor in part.items()
            }
        else:
            alone, shares = [p for p, _ in held], [share for _, share in held]
            added = attention.mix(alone, shares) if "key_value" in first else add(alone, shares)
            sums = {f"{group}.{name}": tensor for name, tensor in added.items()}
        mixed |= sums
    return mixed


def add(moments: list[Code], shares: list[float]) -> Code:
    """Weighted sums, name by name."""
    return {n: attention.weighted([m[n] for m in moments], shares) for n in moments[0]}


def base(name: str) -> str:
    """`attention3@1.key` -> `attention3`."""
    return name.split(".")[0].split("@")[0]


def parts(code: Code, group: str) -> list[Code]:
    """The tensors of one group, by their names within it: one dictionary for each picture that is
    held on its own, else a single one."""
    found: dict[str, Code] = {}
    for name, tensor in code.items():
        if base(name) == group:
            whole, _, rest = name.partition(".")
            found.setdefault(whole, {})[rest] = tensor
    return list(found.values())


def select(code: Code, group: str) -> Code:
    """The tensors of a group that adds."""
    (only,) = parts(code, group)
    return only
