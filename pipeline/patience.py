"""How long a connection may be silent. Who measures its rate sets it; who waits for it obeys."""

from dataclasses import dataclass


@dataclass(slots=True)
class Patience:
    """Grows and shrinks while the connection goes on."""

    seconds: float
