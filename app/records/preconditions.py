"""If-Match and If-None-Match, as they come parsed from the web.

Takes   the versions that a field names
Gives   Versions, Precondition: frozen; holds(seq), to be asked under the lock
Raises  nothing
Not     the fields' grammar (app/web/conditional.py), what a failed condition is answered with
Source  RFC 9110 §13.1.1, §13.1.2, §13.2.2; docs/contracts/user-data.md U2, U4
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Versions:
    """The entity-tags of one field, by their numbers; `is_any` is `*`. An empty one matches nothing."""

    seqs: frozenset[int] = frozenset()
    is_any: bool = False

    def match(self, seq: int) -> bool:
        """Tell whether version `seq` is among them."""
        return self.is_any or seq in self.seqs


ANY = Versions(is_any=True)


@dataclass(frozen=True, slots=True)
class Precondition:
    """What a write expects to find. None: the field was not sent."""

    if_match: Versions | None = None
    if_none_match: Versions | None = None

    @property
    def is_absent(self) -> bool:
        """Tell whether nothing is expected."""
        return self.if_match is None and self.if_none_match is None

    def holds(self, seq: int | None) -> bool:
        """Decide in the order of RFC 9110 §13.2.2; `seq` is None where there is nothing, a tombstone included."""
        if self.if_match is not None and (seq is None or not self.if_match.match(seq)):
            return False
        return self.if_none_match is None or seq is None or not self.if_none_match.match(seq)


UNCONDITIONAL = Precondition()
