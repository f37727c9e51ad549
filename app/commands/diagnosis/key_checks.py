"""The checks between header and claims: issuer, key, signature.

Takes   Asking, the Situation, what was read of the token
Gives   Findings
Raises  nothing
Not     fetching (keys.py), words about `iss` (claims_words.py)
Source  docs/contracts/tokens.md T10 to T13, T27, K11
"""

from typing import Any

from app.commands.diagnosis import claims_words
from app.commands.diagnosis.asking import Asking
from app.commands.diagnosis.header_words import Words
from app.commands.diagnosis.keys import Published, PublishedSource, left_out, names
from app.commands.diagnosis.situation import Situation
from app.commands.diagnosis.words import quoted
from app.oauth.claims import issuer_of
from app.oauth.errors import InvalidToken
from app.oauth.header import Header, Judged
from app.oauth.keys.jwks import KeySet, VerificationKey
from app.oauth.reasons import Reason

Claims = dict[str, Any]


def ask(  # noqa: PLR0913, PLR0917 - what was read so far
    asking: Asking,
    situation: Situation,
    header: Header | None,
    judged: Judged | None,
    strict: Claims | None,
    claims: Claims | None,
) -> None:
    """Ask for the issuer, the key and the signature."""
    issuer = _issuer(asking, situation, header, strict, claims)
    if header is None or judged is None:
        why = "the token has no signature to check" if header is None else "no key is looked for with such a header"
        asking.skip("key", why)
        asking.skip("signature", "without a key")
        return
    published, key = _key(asking, situation, judged, issuer)
    if key is None:
        unchecked = published is not None and published.keys is None and not published.is_unreachable
        asking.skip("signature", published.origin if published is not None and unchecked else "without a key")
        return
    asking.ask(
        "signature",
        lambda: _verify(key, judged, header),
        lambda _good: f"made by the key {quoted(key.kid)}",
        lambda: _wrong_signature(header, key),
    )


def _issuer(
    asking: Asking, situation: Situation, header: Header | None, strict: Claims | None, claims: Claims | None
) -> str | None:
    policy = situation.policy
    if header is not None and strict is None and len(policy.issuers) > 1:
        words = ("the payload cannot be read, so none of several issuers can be chosen", None)
        asking.fail("iss", Reason.MALFORMED_CLAIMS, words)
        return None
    if header is not None and strict is None:
        # The API takes the keys of its only issuer, so that a forged payload is called by its name (verifier.py).
        asking.skip("iss", "the payload cannot be read")
        return policy.issuers[0]
    if claims is None:
        asking.skip("iss", "the payload cannot be read")
        return None
    return asking.ask("iss", lambda: issuer_of(claims, policy), quoted, lambda: claims_words.of_issuer(claims, policy))


def _key(
    asking: Asking, situation: Situation, judged: Judged, issuer: str | None
) -> tuple[Published | None, VerificationKey | None]:
    if issuer is None:
        return _key_of_anyone(asking, situation, judged)
    published = situation.published[issuer]
    if published.keys is None:
        if published.is_unreachable:
            advice = "look with: flask --app wsgi doctor. A worker that still holds the keys accepts the token"
            asking.fail("key", Reason.KEYS_UNAVAILABLE, (published.origin, advice))
        else:
            asking.skip("key", published.origin)
        return published, None
    keys = published.keys
    key = asking.ask(
        "key",
        lambda: _trusted(PublishedSource(published).find(judged.kid, judged.alg), situation),
        lambda found: f"{quoted(found.kid)}, one of {len(keys.keys)} that the tenant publishes ({published.origin})",
        lambda: _no_key(judged, published, keys, situation),
    )
    if key is None:
        found = keys.find(judged.kid, judged.alg)
        return published, found
    return published, key


def _key_of_anyone(
    asking: Asking, situation: Situation, judged: Judged
) -> tuple[Published | None, VerificationKey | None]:
    """Look whether the key is ours although the issuer's name is not: then only the name is wrong."""
    for published in situation.published.values():
        key = None if published.keys is None else published.keys.find(judged.kid, judged.alg)
        if key is not None:
            asking.good("key", f"{quoted(key.kid)}, a key of {published.issuer}: so only the issuer's name is wrong")
            return published, key
    asking.skip("key", "iss chooses the keys, and the tenant of this API has none of this name")
    return None, None


def _trusted(key: VerificationKey, situation: Situation) -> VerificationKey:
    if situation.denylist.distrusts(key):
        raise InvalidToken(Reason.KEY_DISTRUSTED)
    return key


def _verify(key: VerificationKey, judged: Judged, header: Header) -> bool:
    if not key.verify(judged.alg, header.signing_input, header.signature):
        raise InvalidToken(Reason.BAD_SIGNATURE)
    return True


def _no_key(judged: Judged, published: Published, keys: KeySet, situation: Situation) -> Words:
    found = keys.find(judged.kid, judged.alg)
    if found is not None and situation.denylist.distrusts(found):
        return f"the operator distrusts the key {quoted(judged.kid)}", "get a new access token: it has a new key"
    there = f"the tenant publishes {names(keys)} ({published.origin})"
    skipped = left_out(keys)
    there += f"; left out as unusable: {skipped}" if skipped else ""
    if judged.kid is None:
        return f"the token has no kid, and {there}: which one is meant?", "let the tenant write kid into its tokens"
    if judged.kid in keys.kids():
        return (
            f"the key {quoted(judged.kid)} is published, but not for alg {judged.alg}: {there}",
            "the header's alg must be that of the key: let the tenant issue the token anew",
        )
    return (
        f"signed with kid {quoted(judged.kid)}, {there}",
        "get a new access token; if that is refused too, the app logs in at another tenant than TENANT_ISSUER",
    )


def _wrong_signature(header: Header, key: VerificationKey) -> Words:
    return (
        f"the {len(header.signature)} bytes of signature are not those of the key {quoted(key.kid)} over this token",
        "send the token unchanged; a token that was edited, cut or put together by hand never passes",
    )
