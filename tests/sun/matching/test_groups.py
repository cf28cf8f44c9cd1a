"""Duplicates and known crystals: the same verdicts as StructureMatcher, whatever the cell or the order."""

import csv
import gzip
import itertools
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from miad.core.crystal import Crystal
from miad.sun.matching import comparisons
from miad.sun.matching import groups as matching
from miad.sun.matching.comparisons import fits
from miad.sun.matching.groups import Group, Rule, compare, compare_group
from miad.sun.matching.reduced import content_key, read_reduced, reduce
from tests.builders.crystals import caesium_chloride, disguises, rock_salt

STRICT = Rule("either", "components")
FIRST = Rule("sample_first", "first_seen")
MEAN = Rule("sample_first_rms", "first_seen")


@pytest.mark.parametrize("rule", [STRICT, FIRST])
def test_a_disguised_crystal_is_known_and_not_unique_twice(rule: Rule) -> None:
    samples = disguises(rock_salt("a"))
    verdicts = compare(samples, [rock_salt("train-1")], [rule], workers=1)[rule]
    assert verdicts.known_as == {sample.crystal_id: "train-1" for sample in samples}
    assert set(verdicts.group.values()) == {"same"}


def test_other_structures_and_other_elements_are_neither() -> None:
    samples = [rock_salt("a"), caesium_chloride("b"), rock_salt("c", anion=35)]
    verdicts = compare(samples, [rock_salt("bromide", anion=35)], [STRICT], workers=1)[STRICT]
    assert verdicts.known_as == {"c": "bromide"}
    assert verdicts.group == {"a": "a", "b": "b", "c": "c"}


def test_components_do_not_depend_on_the_order(monkeypatch) -> None:
    # A chain a–b–c whose ends do not match: first come keeps a and c, components keep one.
    matching_pairs = {("b", "a"), ("c", "b")}
    monkeypatch.setattr(comparisons, "fits", lambda x, y: (x.crystal_id, y.crystal_id) in matching_pairs)
    chain = [rock_salt("a"), rock_salt("b"), rock_salt("c")]
    for order in itertools.permutations(chain):
        verdicts = compare_group(Group(list(order), []), [STRICT, FIRST])
        assert set(verdicts[STRICT].group.values()) == {order[0].crystal_id}
    kept = compare_group(Group(chain, []), [FIRST])[FIRST].group
    assert kept == {"a": "a", "b": "a", "c": "c"}
    every = Rule("sample_first", "every_earlier")  # c repeats b, though b is a duplicate itself
    assert compare_group(Group(chain, []), [every])[every].group == {"a": "a", "b": "a", "c": "a"}
    assert compare_group(Group(chain[::-1], []), [every])[every].group == {"a": "a", "b": "b", "c": "c"}


def test_sample_first_asks_with_the_sample_first(monkeypatch) -> None:
    monkeypatch.setattr(comparisons, "fits", lambda x, y: (x.crystal_id, y.crystal_id) == ("known", "sample"))
    group = Group([rock_salt("sample")], [rock_salt("known")])
    verdicts = compare_group(group, [STRICT, Rule("sample_first", "components")])
    assert verdicts[STRICT].known_as == {"sample": "known"}
    assert verdicts[Rule("sample_first", "components")].known_as == {}


def test_degenerate_cells_are_not_compared() -> None:
    flat = rock_salt("flat").replace(lattice=np.diag([5.0, 5.0, 0.0]))
    broken = rock_salt("broken").replace(frac_coords=np.full((8, 3), np.nan))
    verdicts = compare([rock_salt("a"), flat, broken], [rock_salt("known")], [STRICT], workers=1)[STRICT]
    assert verdicts.group == {"a": "a"}


def test_whether_a_crystal_can_be_compared_does_not_depend_on_others() -> None:
    needle = rock_salt("needle").replace(lattice=np.diag([3.0, 3.0, 2000.0]))
    broken = rock_salt("broken").replace(lattice=np.diag([5.0, 5.0, 0.0]))
    for odd in (needle, broken):
        assert reduce(odd) is None
        alone = compare([odd], [], [STRICT, FIRST], workers=1)
        beside = compare([odd, rock_salt("a")], [rock_salt("known")], [STRICT, FIRST], workers=1)
        for rule in (STRICT, FIRST):
            assert alone[rule].group == {} and beside[rule].group == {"a": "a"}
    assert compare([rock_salt("a")], [needle], [STRICT], workers=1)[STRICT].group == {"a": "a"}
    # Even so long a one can be compared.
    slab = rock_salt("slab").replace(lattice=np.diag([5.64, 5.64, 100.0]))
    assert compare([slab], [], [STRICT], workers=1)[STRICT].group == {"slab": "slab"}


def test_a_sample_that_is_kept_drops_earlier_ones_too(monkeypatch) -> None:
    # c matches a (asked c first), a does not match c; so a is kept at first, b is dropped by it, and c drops a.
    monkeypatch.setattr(comparisons, "has_rms", lambda x, y: (x.crystal_id, y.crystal_id) in {("a", "b"), ("c", "a")})
    chain = [rock_salt("a"), rock_salt("b"), rock_salt("c")]
    dropped, first = Rule("sample_first_rms", "dropped"), MEAN
    found = compare_group(Group(chain, []), [dropped, first])
    assert found[dropped].group == {"a": "c", "b": "c", "c": "c"}
    assert found[first].group == {"a": "a", "b": "a", "c": "c"}


def test_reduced_references_are_kept_and_used(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "train.reduced.jsonl.gz"
    samples, known = [rock_salt("a")], [rock_salt("k1"), caesium_chloride("k2")]
    first = compare(samples, known, [STRICT], workers=1, reduced_path=path)
    assert len(read_reduced(path)) == 2
    reduced = []
    monkeypatch.setattr(matching, "reduce", lambda crystal: reduced.append(crystal.crystal_id) or reduce(crystal))
    assert compare(samples, known, [STRICT], workers=1, reduced_path=path) == first
    assert reduced == ["a"]


def test_two_processes_say_the_same_as_one(monkeypatch) -> None:
    monkeypatch.setattr(matching, "FEW", 0)
    samples = [*disguises(rock_salt("a")), rock_salt("c", anion=35), caesium_chloride("d")]
    known = [rock_salt("k", anion=35)]
    assert compare(samples, known, [STRICT, FIRST], workers=2) == compare(samples, known, [STRICT, FIRST], workers=1)


class Deadly(Crystal):
    """A crystal that kills whoever reduces it."""

    @property
    def structure(self):
        """No structure."""
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("place", [0, 2])
def test_a_crystal_that_kills_its_worker_is_not_compared_and_costs_no_other(place: int, caplog) -> None:
    deadly = Deadly(**vars(rock_salt("deadly")))
    samples = [rock_salt("a"), rock_salt("b"), caesium_chloride("c"), rock_salt("d", anion=35)]
    expected = compare(samples, [rock_salt("k")], [STRICT, FIRST], workers=1)
    samples.insert(place, deadly)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "FEW", 0)
        found = compare(samples, [rock_salt("k")], [STRICT, FIRST], workers=2)
    assert found == expected and "deadly" not in found[STRICT].group
    assert "deadly cannot be compared (deadly): its worker died with exit code -9" in caplog.text


def test_a_pair_that_cannot_be_compared_costs_one_sample(monkeypatch, caplog) -> None:
    def odd(first: Crystal, second: Crystal) -> bool:
        if {first.crystal_id, second.crystal_id} == {"a", "c"}:
            raise ValueError("of this pair")
        return fits(first, second)

    monkeypatch.setattr(comparisons, "fits", odd)
    samples = [rock_salt("a"), caesium_chloride("b"), rock_salt("c"), rock_salt("d")]
    found = compare(samples, [], [STRICT], workers=1)[STRICT]
    assert found.group == {"a": "a", "b": "b", "d": "a"}
    assert "c cannot be compared (a with c): ValueError: of this pair (test_groups.py, line" in caplog.text


def a_crowd() -> tuple[list[Crystal], list[Crystal]]:
    """Samples of one formula that are close to each other, so that some match in chains, and references."""
    generator = np.random.default_rng(0)
    cells = []
    for number in range(30):
        pair = Crystal.from_structure(f"{number}", caesium_chloride("pair").structure * (2, 1, 1))
        shaken = pair.frac_coords + generator.normal(size=(4, 3)) * 0.12 * (number % 4 > 0)
        cells.append(pair.replace(frac_coords=shaken % 1))
    return cells[:25], cells[25:]


def test_a_crowd_of_one_formula_gets_the_same_verdicts_screened_or_not(monkeypatch, tmp_path: Path) -> None:
    samples, known = a_crowd()
    rules = [STRICT, FIRST, MEAN, Rule("sample_first", "components"), Rule("sample_first_rms", "dropped")]
    expected = compare(samples, known, rules, workers=1)
    assert 1 < len(set(expected[STRICT].group.values())) < len(set(expected[FIRST].group.values())) < 25
    monkeypatch.setattr(matching, "SCREEN_FROM", 0)
    path = tmp_path / "known.jsonl.gz"
    assert compare(samples, known, rules, workers=1, reduced_path=path) == expected
    assert read_reduced(path).keys() == {content_key(one) for one in known}


def real_crystals(folder: Path, num: int) -> list[Crystal]:
    """The first crystals of the test split."""
    from pymatgen.core import Structure

    csv.field_size_limit(10**9)
    with gzip.open(folder / "mp_20_rebuilt" / "test.csv.gz", "rt") as text:
        rows = [row for row in itertools.islice(csv.DictReader(text), num) if row["cif"]]
    return [Crystal.from_structure(row["material_id"], Structure.from_str(row["cif"], fmt="cif")) for row in rows]


def test_real_crystals_in_disguise_are_known_and_not_unique_twice(real_data: Path) -> None:
    known = real_crystals(real_data, 20)
    samples = [
        one.replace(crystal_id=f"{crystal.crystal_id} {one.crystal_id}")
        for crystal in known
        for one in disguises(crystal)
    ]
    for rule, verdicts in compare(samples, known, [STRICT, FIRST], workers=1).items():
        assert set(verdicts.known_as) == {one.crystal_id for one in samples}, rule
        assert len(set(verdicts.group.values())) == len({one.reduced_formula for one in known}) == len(known), rule


def test_agrees_with_structure_matcher_on_real_crystals(real_data: Path) -> None:
    from pymatgen.core import Structure
    from pymatgen.core.structure_matcher import StructureMatcher

    csv.field_size_limit(10**9)
    formulas: dict[str, list[Structure]] = {}
    with gzip.open(real_data / "mp_20_rebuilt" / "test.csv.gz", "rt") as text:
        for row in itertools.islice(csv.DictReader(text), 4000):
            if row["cif"]:
                formulas.setdefault(row["pretty_formula"], []).append(row["cif"])
    groups = [cifs for cifs in formulas.values() if len(cifs) > 1]
    assert len(groups) > 50
    num_matches = 0
    for cifs in groups:
        structures = [Structure.from_str(cif, fmt="cif") for cif in cifs]
        reduced = [reduce(Crystal.from_structure(str(i), structure)) for i, structure in enumerate(structures)]
        for i, j in itertools.permutations(range(len(cifs)), 2):
            expected = StructureMatcher().fit(structures[i], structures[j])
            assert fits(reduced[i], reduced[j]) == expected
            num_matches += expected
    assert num_matches > 0
