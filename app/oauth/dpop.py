"""What came with a token by the DPoP scheme, and what checks it.

Takes   nothing yet
Gives   PresentedProof; ProofCheck, the Protocol that the verifier asks
Raises  InvalidToken(INVALID_DPOP_PROOF | USE_DPOP_NONCE)
Not     the token (verifier.py)
Source  RFC 9449 §4, §7; docs/contracts/tokens.md P1 to P4
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PresentedProof:
    """One request by the DPoP scheme: the DPoP field as WSGI gives it, and what the proof has to be made for."""

    field: str | None
    """Repeated fields are joined by a comma; None if there is none."""
    method: str
    url: str
    """Where apps know the resource: PUBLIC_URL and the path, without query and fragment."""


class ProofCheck(Protocol):
    """Checks one proof."""

    def check(self, proof: PresentedProof, token: str, bound_to: str, *, now: float) -> None:
        """Return if the proof is good, made for this token, and here for the first time; otherwise raise."""
        ...
