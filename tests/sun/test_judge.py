"""Each sample ends once, and each group of duplicates has one representative."""

import numpy as np
import pytest

from miad.core.crystal import Crystal
from miad.sun.judge import COUNTS, RATES, count, judge, rates
from miad.sun.matching.groups import Matches
from miad.sun.verdict import REASONS
from tests.builders.settings import PROTOCOLS, protocol

NAMES = list(PROTOCOLS)


def sample(name: str, energy: float | None = -3.0, numbers: tuple = (11, 17), **known) -> Crystal:
    coords = np.linspace(0, 1, len(numbers), endpoint=False)[:, None].repeat(3, axis=1)
    return Crystal(name, np.eye(3) * 4, coords, np.array(numbers), energy_per_atom=energy, **known)


def random_samples(generator: np.random.Generator) -> tuple[list[Crystal], list[float | None], Matches]:
    """Samples of every fate, in random groups."""
    crystals, energies, matches = [], [], Matches()
    for number in range(200):
        name = f"r-0-{number}"
        fate = generator.integers(8)
        crystal = sample(name, numbers=(11,) if fate == 3 else (11, 17), converged=bool(generator.integers(2)))
        crystal = {0: crystal.failed("sample", "x"), 1: crystal.failed("relax", "x")}.get(int(fate), crystal)
        crystals.append(crystal)
        energies.append(None if fate == 2 else float(generator.normal(0.0, 0.1)))
        if fate > 1 and fate != 4:
            matches.group[name] = f"r-0-{generator.integers(number + 1)}"
            matches.known_as.update({name: "train-0"} if generator.integers(3) == 0 else {})
    return crystals, energies, matches


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("converged_only", [False, True])
def test_attempted_is_sun_plus_all_other_ends(name: str, converged_only: bool) -> None:
    chosen = protocol(name, converged_only=converged_only)
    for seed in range(5):
        samples = random_samples(np.random.default_rng(seed))
        judged = judge(*samples, chosen)
        ends = {reason: sum(one.reason == reason for one in judged) for reason in REASONS}
        assert len(judged) == sum(ends.values()) == 200
        assert ends["sun"] == sum(one.is_sun for one in judged) == count(*samples[:2], judged)["sun"] > 0
        assert all(one.is_sun == (one.reason == "sun") for one in judged)


@pytest.mark.parametrize("name", NAMES)
def test_counts_shrink_along_the_funnel(name: str) -> None:
    samples = random_samples(np.random.default_rng(7))
    counts = count(*samples[:2], judge(*samples, protocol(name)))
    for more, less in (
        ("attempted", "decoded"),
        ("decoded", "relaxed"),
        ("relaxed", "converged"),
        ("relaxed", "on_hull"),
        ("on_hull", "metastable"),
        ("metastable", "stable"),
        ("metastable", "msun"),
        ("stable", "sun"),
        ("msun", "sun"),
        ("unique", "unique_novel"),
        ("novel", "unique_novel"),
        ("unique_novel", "msun"),
    ):
        assert counts[more] >= counts[less], (more, less)


def test_the_lowest_energy_represents_its_group_and_ties_go_to_the_first() -> None:
    crystals = [sample(name) for name in "abcd"]
    matches = Matches({"a": "a", "b": "a", "c": "a", "d": "d"})
    judged = judge(crystals, [0.1, -0.2, -0.2, None], matches, protocol())
    assert [one.is_unique for one in judged] == [False, True, False, True]
    first = protocol(representative="first_seen")
    assert [one.is_unique for one in judge(crystals, [0.1, -0.2, -0.2, None], matches, first)] == [
        True,
        False,
        False,
        True,
    ]


def test_a_known_representative_is_not_novel_even_if_its_duplicates_are() -> None:
    matches = Matches({"a": "a", "b": "a"}, {"b": "train-0"})
    judged = judge([sample("a"), sample("b")], [-0.1, -0.2], matches, protocol())
    assert [one.reason for one in judged] == ["duplicate", "known"]


def test_whether_crystals_given_with_energies_converged_is_unknown() -> None:
    matches = Matches({"a": "a", "b": "b"})
    for known, number in (((None, None), None), ((True, False), 1), ((None, False), 1)):
        crystals = [sample(name, converged=one) for name, one in zip("ab", known, strict=True)]
        counts = count(crystals, [0.1, 0.1], judge(crystals, [0.1, 0.1], matches, protocol()))
        assert (counts["relaxed"], counts["converged"]) == (2, number)
    assert count([], [], [])["converged"] == 0


def test_rates_are_joint_counts_over_what_they_say() -> None:
    counts = dict.fromkeys(COUNTS, 0) | {"attempted": 200, "metastable": 50, "msun": 20, "stable": 10, "sun": 4}
    found = {name: rate.value for name, rate in rates(counts).items()}
    assert found == pytest.approx(
        {
            "metastable": 25.0,
            "unique_novel_among_metastable": 40.0,
            "msun": 10.0,
            "stable": 5.0,
            "unique_novel_among_stable": 40.0,
            "sun": 2.0,
        }
    )
    assert {part for pair in RATES.values() for part in pair} <= set(COUNTS)


def test_a_relaxation_that_is_barred_does_not_stand_for_one_that_may_count() -> None:
    crystals = [sample("a", converged=False), sample("b", converged=True)]
    judged = judge(crystals, [-0.2, -0.1], Matches({"a": "a", "b": "a"}), protocol(converged_only=True))
    assert [one.reason for one in judged] == ["not converged", "sun"]
