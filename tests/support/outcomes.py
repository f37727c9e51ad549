"""What became of a call that may refuse: for tests in which either end is right.

Takes   a call without arguments
Gives   its result, or the Reason for which it refused
Raises  whatever else the call raises: that is what such a test is after
Not     the judgement; the test makes it
Source  docs/contracts/tokens.md T14: nothing that a token can hold gives a 500
"""

from collections.abc import Callable
from typing import TypeVar

from app.oauth.errors import Refused
from app.oauth.reasons import Reason

T = TypeVar("T")


def outcome_of(call: Callable[[], T]) -> T | Reason:
    """Return the result or the Reason."""
    try:
        return call()
    except Refused as refused:
        return Reason(refused.reason)
