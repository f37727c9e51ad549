"""The arithmetic: what a round's numbers mean beside the bare route of the same round.

Takes   numbers of the rounds
Gives   medians of ratios, spreads, targets with whether they are met
Raises  ValueError for rounds that cannot be compared
Not     the measuring
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, nan
from statistics import median

BARE, BARE_AGAIN = "bare", "bare again"


@dataclass(frozen=True, slots=True)
class Sample:
    """One variant in one round."""

    cpu_microseconds: float
    """Processor time of the worker for each request, user and system together."""
    requests_per_second: float
    latencies: tuple[float, ...] = ()
    """Seconds of each request."""


Round = Mapping[str, Sample]


@dataclass(frozen=True, slots=True)
class Summary:
    """One variant over all rounds."""

    cpu_microseconds: float
    requests_per_second: float
    ratio: float
    """Median of the rounds' ratios to the bare route of the same round."""
    lowest_ratio: float
    highest_ratio: float
    median_milliseconds: float
    tail_milliseconds: float
    """What 99 of 100 requests stay under, all rounds together."""


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that is wanted, beside the one that was measured."""

    name: str
    wanted: float
    measured: float
    unit: str

    @property
    def is_met(self) -> bool:
        """Tell whether the measured figure is at most the wanted one."""
        return self.measured <= self.wanted


def summarise(rounds: Sequence[Round], variant: str) -> Summary:
    """Put one variant beside the bare route of each round."""
    if not rounds:
        raise ValueError("there is no round")
    samples = [one[variant] for one in rounds]
    ratios = [one[variant].cpu_microseconds / baseline(one) for one in rounds]
    latencies = [seconds * 1000 for sample in samples for seconds in sample.latencies]
    return Summary(
        cpu_microseconds=median(sample.cpu_microseconds for sample in samples),
        requests_per_second=median(sample.requests_per_second for sample in samples),
        ratio=median(ratios),
        lowest_ratio=min(ratios),
        highest_ratio=max(ratios),
        median_milliseconds=percentile(latencies, 50),
        tail_milliseconds=percentile(latencies, 99),
    )


def beside(rounds: Sequence[Round], variant: str, reference: str) -> float:
    """The median, over the rounds, of the processor time of one variant in that of another."""
    return median(one[variant].cpu_microseconds / one[reference].cpu_microseconds for one in rounds)


def percentile(values: Sequence[float], share: int) -> float:
    """The value that `share` of a hundred do not exceed; not a number where there is none."""
    if not values:
        return nan
    return sorted(values)[max(0, ceil(len(values) * share / 100) - 1)]


def baseline(one: Round) -> float:
    """The bare route's processor time in a round: the mean of its two turns."""
    both = (one[BARE].cpu_microseconds + one[BARE_AGAIN].cpu_microseconds) / 2
    if both <= 0:
        raise ValueError("the bare route took no time: send more requests")
    return both


def noise(rounds: Sequence[Round]) -> float:
    """How far the bare route was from itself: the largest difference of its two turns in one round, as a share."""
    return max(abs(one[BARE_AGAIN].cpu_microseconds / one[BARE].cpu_microseconds - 1) for one in rounds)


def median_ratio(values: Sequence[float], references: Sequence[float]) -> float:
    """The median of the ratios of values that were measured beside each other."""
    return median(value / reference for value, reference in zip(values, references, strict=True))
