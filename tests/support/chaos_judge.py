"""What users saw of a fault, and whether any of it must not be.

Takes   a Tally, a Toll, when the fault began and was mended (monotonic)
Gives   Verdict: the numbers of one row;  wrongs(): sentences, none where all is as it must be
Raises  nothing
Not     the load (chaos_load.py)
Source  docs/contracts/tokens.md T27: "our fault is never the user's"; docs/contracts/user-data.md U5, §8
"""

from collections import Counter
from dataclasses import dataclass

from tests.support.chaos_devices import Seen, Tally
from tests.support.reckoning import Toll

_LATER = {503, 409, 429}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One fault. `well_after_seconds`: from the mending to the last request that was in trouble."""

    seconds: float
    seen: tuple[Seen, ...]
    well_after_seconds: float
    toll: Toll

    def count(self, *statuses: int) -> int:
        """How many answers had one of these statuses; 0 is no answer at all."""
        return sum(one.status in statuses for one in self.seen)

    @property
    def well(self) -> int:
        """How many requests were answered as if there were no fault."""
        return sum(one.is_well for one in self.seen)

    @property
    def lost(self) -> int:
        """Acknowledged, and not found or never told; or done twice, torn or told wrongly."""
        toll = self.toll
        return (
            toll.lost + toll.missing + toll.twice + toll.torn + toll.unexplained + toll.strayed
            + toll.mistold + toll.disordered + toll.resyncs
        )  # fmt: skip

    @property
    def refused(self) -> int:
        """Good tokens that were told to be bad."""
        return self.count(401, 403)

    @property
    def crashed(self) -> int:
        """Answers that are a bug."""
        return sum(one.status >= 500 and one.status != 503 for one in self.seen)

    @property
    def longest_seconds(self) -> float:
        """The longest wait for an answer."""
        return max((one.seconds for one in self.seen), default=0.0)

    def codes(self) -> Counter[str]:
        """What those in trouble were told."""
        return Counter(f"{one.status} {one.code}" if one.status else one.code for one in self.seen if not one.is_well)

    def wrongs(self, *, well_within_seconds: float, may_break: bool) -> list[str]:
        """What must not be; `may_break`: connections, as where the process behind them is killed."""
        known = {0, *_LATER}
        odd = [one for one in self.seen if not one.is_well and one.status not in known]
        found = {
            "answers that no fault explains": len(odd),
            "acknowledged writes lost, doubled or mistold": self.lost,
            "limited without reason": self.count(429),
            "connections broken": 0 if may_break else self.count(0),
        }
        wrongs = [f"{words}: {number}" for words, number in found.items() if number]
        wrongs += list(self.toll.faults)
        if self.well_after_seconds > well_within_seconds:
            wrongs.append(f"well again after {self.well_after_seconds:.1f} s, more than {well_within_seconds:.0f} s")
        return wrongs


def judged(tally: Tally, toll: Toll, *, began_at: float, mended_at: float) -> Verdict:
    """Take everything that was answered since the fault began."""
    last = tally.last_trouble(mended_at)
    return Verdict(
        mended_at - began_at,
        tuple(tally.between(began_at, float("inf"))),
        0.0 if last is None else last - mended_at,
        toll,
    )
