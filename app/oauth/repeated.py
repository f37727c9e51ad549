"""What all tokens of an app say alike, kept once.

Takes   claims, and lists of words in them: only of tokens whose signature was good, for nobody else may fill this
Gives   the same values, with one object for equal strings and sets
Raises  nothing
Not     what the claims mean (claims.py), which tokens are remembered (token_cache.py)
Source  docs/contracts/tokens.md V3

A tenant's tokens repeat their app, audience and scopes: a worker that remembers 10 000 of them holds one copy of each,
which is half of what they took.
"""

from collections.abc import Mapping
from functools import lru_cache
from sys import intern
from typing import Any, Final

_REPEATED: Final = frozenset({"iss", "azp", "client_id", "aud", "scope", "scp", "permissions"})
_SETS_REMEMBERED: Final = 256


@lru_cache(_SETS_REMEMBERED)
def words_of(text: str) -> frozenset[str]:
    """Split a list in one string. Only the space separates: str.split() would also cut at a no-break space."""
    return frozenset(intern(word) for word in text.split(" ") if word)


@lru_cache(_SETS_REMEMBERED)
def set_of(entries: tuple[str, ...]) -> frozenset[str]:
    """Make a set of these."""
    return frozenset(map(intern, entries))


def shared(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the claims, with one object for equal strings where tokens repeat each other."""
    return {name: _same(value) if name in _REPEATED else value for name, value in claims.items()}


def _same(value: Any) -> Any:
    if type(value) is str:
        return intern(value)
    if type(value) is list:
        return [intern(entry) if type(entry) is str else entry for entry in value]
    return value
