"""Hold the published keys against the copy that the workers keep, and against what the operator distrusts.

Takes   the keys of each issuer as they are published now, the settings, now: seconds since the epoch (UTC)
Gives   Findings: ok, warn or fail, with what to do
Raises  nothing
Not     whether keys can be had (tenant.py), the copy and the revocations themselves (storage.py): what cannot be read
        has its line there, and none here
Source  docs/contracts/tokens.md K4, K7, K8, K11
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from app.commands.diagnosis.keys import snapshot_of
from app.commands.reading import revocations_of
from app.commands.screen import Finding, duration
from app.oauth.keys.jwks import KeySet, VerificationKey
from app.oauth.keys.lifetimes import Lifetimes
from app.oauth.keys.snapshot import Snapshot, SnapshotFailed
from app.oauth.revocation.rules import Denylist
from config.settings import Settings


def examine(settings: Settings, published: Mapping[str, KeySet], now: float) -> Iterator[Finding]:
    """Look at the published keys of each issuer."""
    denylist, _why_not = revocations_of(settings.database_url, now=now)
    for issuer, keys in published.items():
        copy = _copy(issuer, settings, now)
        if copy is not None:
            yield _seen(issuer, keys, copy, settings, now)
        if denylist is not None:
            yield _trusted(issuer, keys, denylist)


def _copy(issuer: str, settings: Settings, now: float) -> Snapshot | None:
    if settings.jwks_file is not None:
        # Workers then look at nothing else, a copy of earlier days included.
        return None
    file = snapshot_of(issuer, settings)
    try:
        return None if file is None else file.read(now=now)
    except SnapshotFailed:
        return None


def _seen(issuer: str, keys: KeySet, copy: Snapshot, settings: Settings, now: float) -> Finding:
    """Tell what the workers have not seen yet: they write the copy at each fetch, so it is what they hold."""
    differ = _difference(keys, copy.download.keys)
    age = duration(max(0.0, now - copy.begun_at))
    if differ.is_nothing:
        return Finding("rotation", "ok", f"the copy on disk has the keys that {issuer} publishes")
    text = f"{differ.in_words()}; the copy of the keys of {issuer} is of {age} ago"
    bounds = Lifetimes(min_ttl_seconds=settings.jwks_min_ttl_seconds, max_ttl_seconds=settings.jwks_max_ttl_seconds)
    left_seconds = bounds.hold(copy.download, copy.begun_at).fresh_until - now
    if left_seconds > 0:
        soon = f"at the latest in {duration(left_seconds)}, and at once for a token that names a new key"
        return Finding("rotation", "ok", f"{text}: a rotation, which they see {soon}")
    advice = (
        "they look at least every JWKS_MAX_TTL_SECONDS, so none of them has been able to: does the API run here, and "
        "with this JWKS_SNAPSHOT_DIR? Its log says why: `cannot be fetched`, or `cannot be kept on disk`"
    )
    return Finding("rotation", "warn", text, advice)


@dataclass(frozen=True, slots=True)
class _Difference:
    only_published: tuple[str, ...]
    only_in_copy: tuple[str, ...]

    @property
    def is_nothing(self) -> bool:
        return not self.only_published and not self.only_in_copy

    def in_words(self) -> str:
        parts = []
        if self.only_published:
            parts.append(f"published and not in the copy on disk: {', '.join(self.only_published)}")
        if self.only_in_copy:
            parts.append(f"in the copy on disk and no longer published: {', '.join(self.only_in_copy)}")
        return "; ".join(parts)


def _difference(published: KeySet, copied: KeySet) -> _Difference:
    """Compare by name, material and algorithms: another key under an old name is another key."""
    new = [key for key in published.keys if not copied.holds(key)]
    gone = [key for key in copied.keys if not published.holds(key)]
    both = {key.kid for key in new} & {key.kid for key in gone}
    return _Difference(tuple(_name(key, both) for key in new), tuple(_name(key, both) for key in gone))


def _name(key: VerificationKey, ambiguous: set[str | None]) -> str:
    name = f"{key.kid or '(without kid)'} ({'/'.join(sorted(key.algorithms))})"
    return f"{name}, thumbprint {key.thumbprint}" if key.kid in ambiguous else name


def _trusted(issuer: str, keys: KeySet, denylist: Denylist) -> Finding:
    distrusted = [key for key in keys.keys if denylist.distrusts(key)]
    # By the names that the operator gave, for `lift` wants these.
    named = ", ".join(name for key in distrusted for name in (key.kid, key.thumbprint) if name in denylist.keys)
    if not distrusted:
        return Finding("trust", "ok", f"no key that {issuer} publishes is distrusted")
    if len(distrusted) < len(keys.keys):
        text = f"distrusted, and still published by {issuer}: {named}; tokens that it signs are 401 key_distrusted"
        return Finding("trust", "warn", text, "let the tenant revoke it, too: it may still sign with it")
    text = f"every key that {issuer} publishes is distrusted ({named}): each of its tokens is 401 key_distrusted"
    advice = "let the tenant rotate to a new key; or trust one again: flask --app wsgi revoke lift key KID"
    return Finding("trust", "fail", text, advice)
