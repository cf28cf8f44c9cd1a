"""Rates with their uncertainty: one rate, the difference of two, and a rate from a stratified subsample."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """A share with its confidence interval, as fractions of 1; None where there was nothing to count.

    Attributes:
        value: best estimate.
        low, high: interval of 95 % unless said otherwise.
    """

    value: float | None
    low: float | None
    high: float | None

    def percent(self) -> "Rate":
        """The same in percent."""
        return Rate(*(None if part is None else 100 * part for part in (self.value, self.low, self.high)))


@dataclass(frozen=True)
class Stratum:
    """A part of the samples, of which some or all were examined.

    Attributes:
        size: samples in this part.
        examined: of these, how many were examined (by DFT, say), chosen at random.
        successes: of the examined, how many succeeded.
    """

    size: int
    examined: int
    successes: int


def wilson(successes: int, trials: int) -> Rate:
    """A binomial share with its Wilson score interval of 95 %; all None without trials.

    Raises:
        ValueError: successes outside 0 … trials.

    Source: Wilson, J. Am. Stat. Assoc. 22, 209 (1927).
    """
    return Rate(*_wilson(successes, trials)) if trials or successes else Rate(None, None, None)


def _wilson(successes: int, trials: int) -> tuple[float, float, float]:
    """Share and bounds of at least one trial."""
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    # At the ends the formula gives exactly 0 or 1 but for round-off.
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == trials else (centre + spread) / scale
    return share, low, high


def difference(first: Rate, second: Rate) -> Rate:
    """Difference of two independent rates, second minus first, in their unit; None where one of them is not known.

    Source: MOVER, Zou and Donner, Stat. Med. 27, 1693 (2008); of Wilson intervals it is Newcombe's method 10,
    Stat. Med. 17, 873 (1998).
    """
    if first.value is None or second.value is None:
        return Rate(None, None, None)
    value = second.value - first.value
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return Rate(value, None, None)
    low = math.hypot(second.value - second.low, first.high - first.value)
    return Rate(value, value - low, value + math.hypot(second.high - second.value, first.value - first.low))


def paired_difference(pairs: Iterable[tuple[bool, bool]]) -> Rate:
    """Difference of two shares of the same samples (two calculators, two protocols), second minus first.

    Each pair says whether a sample succeeded in the first and in the second run.

    Source: Newcombe, Stat. Med. 17, 2635 (1998), method 10: Wilson intervals joined with the correlation of the pairs.
    """
    counts = Counter((bool(x), bool(y)) for x, y in pairs)
    both, neither = counts[True, True], counts[False, False]
    only_first, only_second = counts[True, False], counts[False, True]
    total = both + only_first + only_second + neither
    if total == 0:
        return Rate(None, None, None)
    share, low, high = _wilson(both + only_first, total)
    other, other_low, other_high = _wilson(both + only_second, total)
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    excess = float(both * neither - only_first * only_second)
    if excess > 0:
        excess = max(excess - total / 2, 0.0)  # continuity correction of the source
    phi = excess / math.sqrt(margins) if margins else 0.0
    value = other - share

    def span(x: float, y: float) -> float:
        return math.sqrt(max(x * x - 2 * phi * x * y + y * y, 0.0))

    return Rate(value, value - span(other - other_low, high - share), value + span(other_high - other, share - low))


def stratified(strata: Iterable[Stratum]) -> Rate:
    """Share of all samples when only a random part of each stratum was examined.

    A stratum that was examined in full adds no sampling error beyond that of the samples themselves being a sample of
    the model; the interval is for the model, so no finite-population correction is made within strata, and the
    uncertainty of the strata's sizes is added.

    Raises:
        ValueError: a stratum with samples of which none was examined: its share is unknown, not zero.

    Source: the intervals of the strata are joined by MOVER (Zou and Donner, Stat. Med. 27, 1693 (2008)).
    """
    parts = [part for part in strata if part.size]
    total = sum(part.size for part in parts)
    if total == 0:
        return Rate(None, None, None)
    for part in parts:
        if not 0 < part.examined <= part.size:
            raise ValueError(f"a stratum of {part.size} samples of which {part.examined} were examined")
    rates = [(part.size / total, *_wilson(part.successes, part.examined)) for part in parts]
    value = sum(weight * share for weight, share, _, _ in rates)
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    between = z * z * sum(weight * (share - value) ** 2 for weight, share, _, _ in rates) / total
    low = math.sqrt(between + sum((weight * (share - low)) ** 2 for weight, share, low, _ in rates))
    high = math.sqrt(between + sum((weight * (high - share)) ** 2 for weight, share, _, high in rates))
    return Rate(value, max(value - low, 0.0), min(value + high, 1.0))
