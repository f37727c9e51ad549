"""Everything about the API that decides about a token, gathered once for one run of the command.

Takes   the policy, the keys as published, what is revoked, how bound tokens are treated
Gives   Situation;  verifier(): the API's own Verifier over exactly these parts
Raises  nothing
Not     where the parts are from (explain_token.py)
"""

from collections.abc import Mapping
from dataclasses import dataclass

from app.commands.diagnosis.keys import Published, PublishedSource
from app.oauth.claims import TokenPolicy
from app.oauth.dpop.check import PresentedProof
from app.oauth.revocation.rules import NOTHING_REVOKED, Denylist
from app.oauth.verifier import Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """The API at one moment."""

    policy: TokenPolicy
    published: Mapping[str, Published]
    denylist: Denylist = NOTHING_REVOKED
    why_no_denylist: str | None = None
    """Why the revocations could not be read; a worker goes on with those that it knows."""
    proofs_taken: bool = False
    """Whether tokens that are bound to a key are accepted, with their proof."""
    proof_required: bool = False
    max_lifetime_seconds: int = 2_592_000

    def verifier(self) -> Verifier:
        """Return the API's own verifier, without a memory."""
        sources = {issuer: PublishedSource(published) for issuer, published in self.published.items()}
        return Verifier(
            self.policy,
            sources,
            None,
            denylist=_Fixed(self.denylist),
            proofs=_AnyProof() if self.proofs_taken else None,
            proof_required=self.proof_required,
        )


class _Fixed:
    def __init__(self, denylist: Denylist) -> None:
        self._denylist = denylist

    def current(self) -> Denylist:
        return self._denylist


class _AnyProof:
    """Takes every proof: it is made for each request, so there is none to judge beside a pasted token."""

    def check(self, proof: PresentedProof, token: str, bound_to: str, *, now: float) -> None:
        pass
