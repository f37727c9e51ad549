"""Say what is wrong with a DPoP proof, each fault by a fixed text, and what is wrong with us when it cannot be judged.

Takes   nothing: every text below is fixed
Gives   Fault, one member for each way to get a proof wrong; the exceptions that leave the check of a proof
Raises  nothing
Not     the code of the answer: it is `invalid_dpop_proof` for every Fault (reasons.py)
Source  RFC 9449 §4.3, §7.1; docs/contracts/tokens.md P1, P2, T26 to T28
"""

from enum import Enum

from app.oauth.errors import InvalidToken
from app.oauth.reasons import Reason


class Fault(Enum):
    """One thing that a developer has to change, as a sentence.

    The sentences go into `error_description` as they stand, so they keep to its character set: no quote, no backslash.
    """

    MISSING = "There is no DPoP field: the DPoP scheme needs a new proof, made for this request, in that field."
    REPEATED = "There is more than one proof, or a comma in the DPoP field: send one field that holds one proof."
    TOO_LARGE = "The proof is longer than 8192 bytes: its header needs typ, alg and jwk alone."
    MALFORMED = "The proof is no JWT: three base64url parts without padding, the first two JSON objects, no name twice."
    TYPE = "typ in the header of the proof is not dpop+jwt."
    ALGORITHM = "alg in the header of the proof is none of ES256, Ed25519, EdDSA, RS256 and PS256."
    EXTENSION = "The header of the proof holds crit, b64 or zip: leave them out."
    PRIVATE_KEY = "jwk in the header of the proof holds a SECRET key: make a new key, and send its public part only."
    KEY = "jwk in the header of the proof is no public key for its alg: P-256, Ed25519, or RSA of 2048 to 4096 bits."
    OTHER_KEY = "jwk in the header of the proof is not the key that the access token is bound to: compare cnf.jkt."
    CLAIMS = "A claim of the proof is missing or malformed: htm, htu and ath are strings, iat is a number of seconds."
    METHOD = "htm is not the method of this request: the same letters, in capitals, and HEAD is not GET."
    URL = "htu is not the URL of this request: scheme, host and path as the app called them, without a user name."
    OTHER_TOKEN = "ath is not the base64url SHA-256 of the access token that was sent."  # noqa: S105 - a sentence, no password
    TOO_OLD = "iat is too old: make a new proof for each request, and compare the clock of the device with server_time."
    TOO_EARLY = "iat is in the future: compare the clock of the device with server_time."
    PROOF_ID = "jti is not 1 to 255 printable characters: take a new random one for each proof."
    SIGNATURE = "The signature of the proof is not by its jwk over exactly its first two parts."
    USED = "This proof was used before: make a new one, with a new jti, for each request and for each repetition."


class InvalidProof(InvalidToken):
    """A 401 about the proof; `fault` says what to change."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(Reason.INVALID_DPOP_PROOF)
        self.fault = fault


class TooManyProofs(Exception):  # noqa: N818 - named as the code of its answer
    """One key has used as many proofs as are remembered of one key: nothing is wrong with this one."""


class ProofsUnavailable(Exception):  # noqa: N818 - as KeysUnavailable
    """OUR fault: used proofs cannot be remembered, so that none can be accepted; nothing is said about this one."""
