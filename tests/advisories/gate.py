"""Both ways in at once: the verifier by itself, and the whole API over HTTP.

Takes   tokens as an attacker would send them
Gives   `accepts` and `refuses`, which demand the same verdict of both; `good`, a token that both accept
Raises  AssertionError when the two differ, when the verdict is another, or when the answer repeats the token
Not     the tricks themselves (the tests of this folder)
Source  docs/contracts/tokens.md T6 to T19, T25, T26
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from app.oauth.access_token import AccessToken
from app.oauth.claims import SUPPORTED_ALGORITHMS, TokenPolicy
from app.oauth.errors import InvalidToken
from app.oauth.keys.jwks import parse_key_set
from app.oauth.keys.source import StaticKeySource
from app.oauth.reasons import Reason
from app.oauth.verifier import Verifier
from tests.support.api import Api, settings_for
from tests.support.tokens import (
    AUDIENCE,
    DELETED,
    ISSUER,
    SigningKey,
    changed,
    claims_of,
    ec_key,
    ed_key,
    header_of,
    key_set,
    mint,
    rsa_key,
)

START = int(time.time())
"""The tokens of this folder are issued when the tests start: the API reads the real clock."""
TIMES = {"iat": START, "exp": START + 3600}

RSA, RSA_2, PSS = rsa_key(), rsa_key("rsa-2"), rsa_key("rsa-pss", "PS256")
EC, EC_384, ED = ec_key("ES256"), ec_key("ES384"), ed_key()
# One name for two keys of different types, which is allowed; and a key that may do all of RSA's algorithms.
TWIN_RSA, TWIN_EC = rsa_key("twin"), ec_key("ES256", "twin")
ANY_RSA = rsa_key("rsa-any")
# RSA with e = 3: weak only where a verifier reads its padding loosely.
CUBIC = SigningKey(rsa.generate_private_key(public_exponent=3, key_size=2048), "rsa-cubic", "RS256")

ALL_KEYS = (RSA, RSA_2, PSS, EC, EC_384, ED, TWIN_RSA, TWIN_EC, ANY_RSA.jwk(alg=DELETED), CUBIC)
POLICY = TokenPolicy(issuers=(ISSUER,), audiences=frozenset({AUDIENCE}), algorithms=SUPPORTED_ALGORITHMS)


def good(
    key: SigningKey = RSA,
    header: Mapping[str, Any] | None = None,
    claims: Mapping[str, Any] | None = None,
    *,
    dialect: str = "auth0",
) -> str:
    """A token that is signed and valid now, with these changes."""
    return mint(key, header, {**TIMES, **(claims or {})}, dialect=dialect)


def good_header(key: SigningKey = RSA, **changes: Any) -> dict[str, Any]:
    """The header of such a token."""
    return header_of(key, changes)


def good_claims(**changes: Any) -> dict[str, Any]:
    """The claims of such a token."""
    return changed(claims_of(TIMES), changes)


class Gate:
    """The verifier and an API that hold the same keys and the same policy."""

    def __init__(self, api: Api, *keys: SigningKey | Mapping[str, Any]) -> None:
        self._api = api
        source = StaticKeySource(ISSUER, parse_key_set(key_set(*keys), SUPPORTED_ALGORITHMS))
        self._verifier = Verifier(POLICY, {ISSUER: source})

    def accepts(self, token: str) -> AccessToken:
        """Demand that both take the token, and give what the verifier understood."""
        understood = self._verifier.verify(token, now=time.time())
        status, document, _ = self._ask(token)
        assert (status, document["sub"]) == (200, understood.subject)
        return understood

    def refuses(self, token: str, reason: Reason, *, over_http: Reason | None = None) -> None:
        """Demand that both refuse the token for this reason; the header's own rules may see another fault first."""
        with pytest.raises(InvalidToken) as refused:
            self._verifier.verify(token, now=time.time())
        assert refused.value.reason is reason

        expected = over_http or reason
        status, document, answer = self._ask(token)
        assert (status, document["code"]) == (expected.status, expected.code)
        assert f'error="{expected.error}"' in answer
        # T26: nothing from the token is ever reflected.
        assert not any(len(piece) > 15 and piece in answer for piece in token.split("."))

    def _ask(self, token: str) -> tuple[int, dict[str, Any], str]:
        # Into the WSGI environment, as a server would put it: a client library would refuse some of these tokens.
        field = f"Bearer {token}".encode("utf-8", "surrogatepass").decode("latin-1")
        answer = self._api.app.test_client().get("/v1/whoami", environ_overrides={"HTTP_AUTHORIZATION": field})
        document: dict[str, Any] = answer.get_json(force=True)
        return answer.status_code, document, f"{answer.headers}{answer.get_data(as_text=True)}"


def settings_with(directory: Path, *keys: SigningKey | Mapping[str, Any]) -> Any:
    """Settings of an API that holds these keys and takes every algorithm that may be configured."""
    (directory / "jwks.json").write_bytes(key_set(*keys))
    return settings_for(directory, f"sqlite:///{directory / 'postern.db'}", token_algorithms=SUPPORTED_ALGORITHMS)
