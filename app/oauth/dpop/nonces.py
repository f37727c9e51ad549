"""Make and recognise the nonces that prove a proof to be fresh, without keeping any.

Takes   key: the same on all hosts;  now: seconds since the epoch (UTC)
Gives   the current nonce; until when a nonce is good
Raises  ValueError for a key that is too short
Not     where a nonce is demanded (check.py), the DPoP-Nonce field (app/web/auth.py)
Source  RFC 9449 §8, §9, §11.3; RFC 2104; docs/contracts/tokens.md P3
"""

import hmac
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final

# An app that was quiet for longer than this or twice this needs a second round trip.
WINDOW_SECONDS: Final = 60
MIN_KEY_BYTES: Final = 32
# So that no other use of the same key makes the same bytes.
_LABEL: Final = b"postern dpop nonce 1:"


class Nonces:
    """The nonces of one key; safe to share between threads."""

    def __init__(self, key: bytes) -> None:
        """Take the key that all hosts share."""
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"a nonce key needs {MIN_KEY_BYTES} bytes")
        self._key = key

    def current(self, now: float) -> str:
        """Return the nonce of this minute."""
        return self._of_window(int(now // WINDOW_SECONDS))

    def good_until(self, nonce: str, now: float) -> int | None:
        """Return the second at which the nonce of this or of the last window ends; None for any other text."""
        window = int(now // WINDOW_SECONDS)
        for candidate in (window, window - 1):
            # NOTE: as bytes, because compare_digest refuses a str outside ASCII, and in constant time: it is a MAC.
            if hmac.compare_digest(self._of_window(candidate).encode(), nonce.encode("utf-8", "surrogatepass")):
                return (candidate + 2) * WINDOW_SECONDS
        return None

    def _of_window(self, window: int) -> str:
        digest = hmac.digest(self._key, _LABEL + str(window).encode(), sha256)
        return urlsafe_b64encode(digest).rstrip(b"=").decode()
