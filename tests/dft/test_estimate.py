"""A random part of each stratum stands for the whole of it."""

import pytest

from miad.core.statistics import Stratum, stratified
from miad.dft.estimate import estimates
from miad.sun.verdict import Verdict


def verdict(success: bool, group: str, **changes) -> Verdict:
    """The verdict on a unique and novel crystal, stable or not."""
    flags = dict.fromkeys(("is_stable", "is_metastable", "is_sun", "is_msun"), success)
    reason = "sun" if success else "not stable"
    return Verdict(**{**flags, "is_unique": True, "is_novel": True, "reason": reason, "group": group, **changes})


def test_a_subsample_is_weighted_with_its_stratum():
    strata = {
        "chosen": {"all": ["a", "b"], "sent": ["a", "b"]},
        "high": {"all": [f"h{i}" for i in range(100)], "sent": ["h0", "h1", "h2", "h3"]},
        "failed": {"all": [f"f{i}" for i in range(98)], "sent": []},
    }
    verdicts = {name: verdict(name in ("a", "h0"), name) for name in ("a", "b", "h0", "h1", "h2", "h3")}
    found = estimates(strata, verdicts)
    # One of two, a quarter of a hundred, none of ninety-eight.
    assert found["sun"]["value"] == pytest.approx(100 * (1 + 25) / 200)
    expected = stratified([Stratum(2, 2, 1), Stratum(100, 4, 1), Stratum(98, 98, 0)]).percent()
    assert found["sun"] == vars(expected)
    assert found["unique_novel_among_stable"]["value"] == pytest.approx(100)


def test_a_duplicate_from_a_thin_stratum_does_not_count_with_its_weight():
    strata = {
        "chosen": {"all": ["a"], "sent": ["a"]},
        "duplicate": {"all": [f"d{i}" for i in range(99)], "sent": ["d0"]},
    }
    # d0 is the same crystal as a, and has the lower energy: it represents both.
    duplicate = {"is_unique": False, "is_sun": False, "is_msun": False, "reason": "duplicate"}
    verdicts = {"a": verdict(True, "a", **duplicate), "d0": verdict(True, "a")}
    found = estimates(strata, verdicts)
    assert found["sun"]["value"] == pytest.approx(1.0) and found["stable"]["value"] == pytest.approx(100)


def test_elements_are_stable_but_never_sun():
    strata = {"chosen": {"all": ["a", "b"], "sent": ["a", "b"]}}
    element = verdict(True, "b", is_sun=False, is_msun=False, reason="one element")
    verdicts = {"a": verdict(True, "a"), "b": element}
    found = estimates(strata, verdicts)
    assert found["stable"]["value"] == pytest.approx(100) and found["sun"]["value"] == pytest.approx(50)


def test_estimates_are_right_on_average():
    """Over many random subsamples the mean estimate is the true share."""
    import numpy as np

    random = np.random.default_rng(0)
    members = [f"h{index}" for index in range(60)]
    truth = {name: index % 5 == 0 for index, name in enumerate(members)}
    values = []
    for _ in range(400):
        sent = sorted(random.choice(members, 10, replace=False).tolist())
        strata = {"chosen": {"all": ["a"], "sent": ["a"]}, "high": {"all": members, "sent": sent}}
        verdicts = {"a": verdict(True, "a"), **{name: verdict(truth[name], name) for name in sent}}
        values.append(estimates(strata, verdicts)["sun"]["value"])
    assert np.mean(values) == pytest.approx(100 * 13 / 61, abs=4 * np.std(values) / 20)
