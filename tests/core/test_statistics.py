"""Intervals against published values and against their meaning."""

import numpy as np
import pytest

from miad.core.statistics import Rate, Stratum, difference, paired_difference, stratified, wilson


def test_wilson_against_known_values() -> None:
    # Newcombe, Stat. Med. 17, 857 (1998), table I, method 3.
    for successes, trials, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        rate = wilson(successes, trials)
        assert (rate.low, rate.high) == pytest.approx((low, high), abs=5e-5)
        assert rate.value == successes / trials


def test_wilson_is_symmetric_and_stays_inside() -> None:
    low, high = wilson(3, 50), wilson(47, 50)
    assert low.low == pytest.approx(1 - high.high)
    assert wilson(0, 7).low == 0.0 and wilson(7, 7).high == 1.0
    assert wilson(0, 0).value is None
    with pytest.raises(ValueError, match="5 successes of 4"):
        wilson(5, 4)


def test_difference_against_a_known_value() -> None:
    # Newcombe, Stat. Med. 17, 873 (1998), table II, case (a), method 10: 56/70 − 48/80.
    rate = difference(wilson(48, 80), wilson(56, 70))
    assert (rate.value, rate.low, rate.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_the_difference_to_an_unknown_rate_is_unknown() -> None:
    unknown, bare = Rate(None, None, None), Rate(0.2, None, None)
    assert difference(unknown, wilson(1, 2)) == difference(wilson(1, 2), unknown) == unknown
    assert difference(bare, wilson(1, 2)) == Rate(pytest.approx(0.3), None, None)  # a ratio without an interval


def test_paired_difference_against_a_known_value() -> None:
    # Newcombe, Stat. Med. 17, 2635 (1998), table II, (e, f, g, h) = (36, 12, 2, 0), method 10.
    pairs = [(True, True)] * 36 + [(False, True)] * 12 + [(True, False)] * 2
    rate = paired_difference(pairs)
    assert (rate.value, rate.low, rate.high) == pytest.approx((0.2, 0.0569, 0.3404), abs=5e-5)


def test_pairing_narrows_the_interval_of_agreeing_runs() -> None:
    pairs = [(True, True)] * 400 + [(False, False)] * 580 + [(False, True)] * 20
    paired = paired_difference(pairs)
    free = difference(wilson(400, 1000), wilson(420, 1000))
    assert paired.value == pytest.approx(free.value) == pytest.approx(0.02)
    assert paired.low > 0 and paired.high - paired.low < 0.5 * (free.high - free.low)
    assert free.low < 0


def test_a_full_examination_is_the_plain_rate() -> None:
    rate = stratified([Stratum(300, 300, 60), Stratum(700, 700, 7)])
    plain = wilson(67, 1000)
    assert rate.value == pytest.approx(plain.value)
    assert (rate.low, rate.high) == pytest.approx((plain.low, plain.high), abs=0.005)


def test_strata_are_weighted_by_their_size_not_by_what_was_examined() -> None:
    rate = stratified([Stratum(100, 50, 25), Stratum(900, 50, 1)])
    assert rate.value == pytest.approx(0.1 * 0.5 + 0.9 * 0.02)
    with pytest.raises(ValueError, match="of which 0"):
        stratified([Stratum(100, 0, 0), Stratum(900, 50, 1)])


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    generator = np.random.default_rng(0)
    truth, sizes = (0.4, 0.03), (200, 800)
    hits = 0
    for _ in range(400):
        sizes = generator.multinomial(1000, (0.2, 0.8))
        strata = [Stratum(int(n), 100, int(generator.binomial(100, p))) for n, p in zip(sizes, truth, strict=True)]
        rate = stratified(strata)
        hits += rate.low <= 0.2 * 0.4 + 0.8 * 0.03 <= rate.high
    assert hits / 400 > 0.93
