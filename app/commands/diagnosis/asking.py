"""Ask the API's own code one question, and note the answer with the words for it.

Takes   a call that returns or raises InvalidToken, the words for either end
Gives   Asking, which collects Findings;  one_member: a header segment with just the members that are asked about
Raises  nothing
Not     the questions (checks.py, key_checks.py, claim_checks.py), the words (header_words.py, claims_words.py)
"""

import base64
import json
from collections.abc import Callable
from typing import Any, TypeVar

from app.commands.diagnosis.header_words import Words
from app.commands.screen import Finding
from app.oauth.errors import Refused
from app.oauth.reasons import Reason

T = TypeVar("T")


class Asking:
    """The findings so far."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def ask(self, name: str, question: Callable[[], T], good: Callable[[T], str], bad: Callable[[], Words]) -> T | None:
        """Ask, note the answer, and return the result; None if it was refused."""
        try:
            result = question()
        except Refused as refused:
            self.fail(name, refused.reason, bad())
            return None
        self.good(name, good(result))
        return result

    def good(self, name: str, text: str) -> None:
        """Note that a check passes."""
        self.findings.append(Finding(name, "pass", text))

    def fail(self, name: str, reason: Reason, words: Words) -> None:
        """Note that a check fails."""
        self.findings.append(Finding(name, "FAIL", words[0], words[1], reason.code))

    def skip(self, name: str, text: str) -> None:
        """Note that a check makes no sense, or cannot be made."""
        self.findings.append(Finding(name, "skip", text))

    def warn(self, name: str, text: str, advice: str | None = None) -> None:
        """Note what the API accepts and a person should know."""
        self.findings.append(Finding(name, "warn", text, advice))


def one_member(members: dict[str, Any], *names: str, **others: Any) -> bytes:
    """Encode a header segment that holds these members of the token's header and nothing else of it."""
    chosen = others | {name: members[name] for name in names if name in members}
    return base64.urlsafe_b64encode(json.dumps(chosen).encode()).rstrip(b"=")
