"""The arithmetic of `make bench`: medians of ratios, each inside its own round."""

import math

import pytest

from benchmarks.figures import BARE, BARE_AGAIN, Sample, Target, beside, median_ratio, noise, percentile, summarise


def a_round(bare: float, again: float, other: float) -> dict[str, Sample]:
    return {BARE: Sample(bare, 1000), BARE_AGAIN: Sample(again, 900), "other": Sample(other, 500)}


def test_summarise_when_the_machine_slows_down_compares_inside_each_round() -> None:
    rounds = [a_round(100, 100, 130), a_round(1000, 1000, 1300), a_round(90, 110, 150)]

    summary = summarise(rounds, "other")

    assert summary.ratio == pytest.approx(1.3)
    assert (summary.lowest_ratio, summary.highest_ratio) == (pytest.approx(1.3), pytest.approx(1.5))
    assert summary.cpu_microseconds == 150
    assert summary.requests_per_second == 500


def test_noise_when_the_bare_route_differs_from_itself_is_the_largest_share() -> None:
    assert noise([a_round(100, 104, 1), a_round(100, 90, 1)]) == pytest.approx(0.1)


def test_summarise_when_there_is_nothing_to_compare_refuses() -> None:
    with pytest.raises(ValueError, match="no round"):
        summarise([], "other")
    with pytest.raises(ValueError, match="more requests"):
        summarise([a_round(0, 0, 1)], "other")


def test_summarise_when_requests_were_timed_then_all_rounds_count_together() -> None:
    rounds = [
        {**a_round(1, 1, 1), "other": Sample(1, 1, (0.001,) * 50)},
        {**a_round(1, 1, 1), "other": Sample(1, 1, (0.002,) * 49 + (0.5,))},
    ]

    summary = summarise(rounds, "other")

    assert (summary.median_milliseconds, summary.tail_milliseconds) == (pytest.approx(1), pytest.approx(2))


def test_percentile_when_there_are_few_values_takes_one_of_them() -> None:
    assert percentile([3, 1, 2], 50) == 2
    assert percentile([3, 1, 2], 99) == 3
    assert math.isnan(percentile([], 99))


def test_beside_when_the_machine_slows_down_compares_inside_each_round() -> None:
    rounds = [a_round(100, 100, 150), a_round(1000, 1000, 1500), a_round(100, 100, 400)]

    assert beside(rounds, "other", BARE) == pytest.approx(1.5)


def test_median_ratio_when_values_are_paired_takes_each_pair() -> None:
    assert median_ratio([2, 30, 5], [1, 10, 1]) == 3


def test_target_when_measured_at_the_limit_is_met() -> None:
    assert Target("memory", 90, 90, "MB").is_met
    assert not Target("memory", 90, 90.1, "MB").is_met
