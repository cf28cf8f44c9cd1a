"""Each protocol asks StructureMatcher as its program does: which structure comes first, and which distance counts."""

from pathlib import Path

import numpy as np
import pytest

from miad.core.crystal import Crystal
from miad.io.any_format import read_any
from miad.sun.matching.comparisons import Screen, fits, has_rms
from miad.sun.matching.groups import Rule, compare
from miad.sun.matching.reduced import matcher, reduce
from tests.builders.settings import PROTOCOLS, protocol


def case(name: str) -> tuple[list[Crystal], list[Crystal]]:
    """Samples and training crystals of a pair on which the ways of asking disagree."""
    folder = Path(__file__).parent / name
    return read_any(folder / "samples.csv", "samples"), read_any(folder / "training.csv", "training")


def known(samples: list[Crystal], training: list[Crystal], name: str) -> list[bool]:
    rule = Rule(protocol(name).match, protocol(name).duplicates)
    found = compare(samples, training, [rule], workers=1)[rule].known_as
    return [sample.crystal_id in found for sample in samples]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_published_programs_ask_with_the_sample_first(name: str) -> None:
    samples, training = case("direction")
    assert not matcher().fit(samples[0].structure, training[0].structure)
    assert matcher().fit(training[0].structure, samples[0].structure)
    assert known(samples, training, name) == [name == "strict"]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_flowmm_takes_the_mean_distance(name: str) -> None:
    samples, training = case("flowmm_rms")
    assert known(samples, training, name) == [name == "flowmm"] * 2


def test_the_mean_distance_is_that_of_structure_matcher_and_the_screen_rules_none_out() -> None:
    samples, training = case("flowmm_rms")
    generator, verdicts = np.random.default_rng(0), []
    for sample, reference in zip(samples, training, strict=True):
        moved = [
            sample.replace(frac_coords=sample.frac_coords + generator.normal(size=(sample.num_atoms, 3)) * 0.02)
            for _ in range(4)
        ]
        crystals = [sample, reference, *moved]
        cells = [cell for cell in map(reduce, crystals) if cell is not None]
        assert len(cells) == len(crystals)
        could = Screen.of(cells).could_match(*[np.arange(len(cells))] * 2, is_rms=True)
        for i, j in np.ndindex(could.shape):
            expected = matcher().get_rms_dist(crystals[i].structure, crystals[j].structure) is not None
            assert has_rms(cells[i], cells[j]) == expected >= fits(cells[i], cells[j])
            assert could[i, j] or not expected
            verdicts.append(expected)
    assert len(set(verdicts)) == 2


def test_of_two_samples_mattergen_asks_with_the_later_first_and_flowmm_with_either() -> None:
    samples, training = case("direction")
    for name in ("mattergen", "as_paper", "flowmm"):
        rule = Rule(protocol(name).match, protocol(name).duplicates)
        for order in ([samples[0], training[0]], [training[0], samples[0]]):
            groups = set(compare(order, [], [rule], workers=1)[rule].group.values())
            # StructureMatcher says yes only if the training crystal is its first structure. In FlowMM's program each
            # sample that is left asks about all others, earlier ones too.
            assert (len(groups) == 1) == (name == "flowmm" or order[1] is training[0]), name
