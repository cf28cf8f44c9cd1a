"""Coverage and distances by hand: a set covers itself, and nothing covers what is missing."""

import json
from pathlib import Path

import numpy as np
import pytest

from miad.core.crystal import write_crystals
from miad.core.errors import MiadError
from miad.metrics.fingerprints import Description
from miad.metrics.step import coverage, property_distances, read_scaler, run, scaler_of
from tests.builders.crystals import caesium_chloride, rock_salt
from tests.builders.settings import metrics_settings

UNIT = (np.zeros(132), np.ones(132))


def described(structure: float, composition: float, density: float = 1.0, num_elements: int = 2) -> Description:
    return Description(True, True, np.full(61, structure), np.full(132, composition), density, num_elements)


def test_a_set_covers_itself() -> None:
    part = [described(0.1 * n, n) for n in range(10)]
    assert coverage(part, part, UNIT, (0.2, 4.0)) == (10, 10)


def test_both_distances_count_and_each_takes_its_own_nearest() -> None:
    test = [described(0.0, 0.0), described(5.0, 5.0)]
    # far in composition; near in both, to two different crystals; near in structure only
    samples = [described(0.0, 50.0), described(0.0, 5.0)]
    assert coverage(samples, test, UNIT, (0.2, 4.0)) == (0, 1)
    # the second test crystal finds its composition, but no structure; the first finds a structure, but no composition
    assert coverage([*samples, described(9.0, 0.0)], test, UNIT, (0.2, 4.0)) == (1, 1)


def test_a_crystal_without_fingerprints_stays_uncovered() -> None:
    test = [described(0.0, 0.0), Description(True, True, None, np.zeros(132), 1.0, 2)]
    assert coverage([described(0.0, 0.0), Description()], test, UNIT, (0.2, 4.0)) == (1, 1)
    assert coverage([Description()], test, UNIT, (0.2, 4.0)) == (0, 0)


def test_values_that_are_missing_count_as_the_mean() -> None:
    odd = described(0.0, 3.0)
    odd.composition[5] = np.nan
    scaler = scaler_of([odd, described(0.0, 3.0), described(0.0, 5.0)])
    assert scaler[0][5] == pytest.approx(4.0)
    assert coverage([odd], [odd], scaler, (0.2, 4.0)) == (1, 1)


def test_distances_of_properties_by_hand() -> None:
    test = [described(0, 0, density=2.0, num_elements=2)] * 3
    samples = [described(0, 0, density=3.5, num_elements=3)] * 5 + [Description(density=99.0, num_elements=9)]
    found = property_distances(samples, test, draw=4, seed=0)
    assert found == {"drawn": 4, "d_rho": pytest.approx(1.5), "d_elem": pytest.approx(1.0)}
    assert property_distances([Description()], test, draw=4, seed=0)["d_rho"] is None


def test_the_draw_follows_the_seed() -> None:
    test = [described(0, 0, density=0.0)]
    samples = [described(0, 0, density=float(n)) for n in range(100)]
    first, again, other = (property_distances(samples, test, 10, seed)["d_rho"] for seed in (0, 0, 1))
    assert first == again != other


def test_the_whole_step(tmp_path: Path) -> None:
    write_crystals(tmp_path / "test.jsonl.gz", [rock_salt("t0"), caesium_chloride("t1")])
    failed = rock_salt("s2").failed("sample", "no real atom is left")
    write_crystals(tmp_path / "s.jsonl", [rock_salt("s0"), rock_salt("s1", anion=35), failed])
    out = tmp_path / "metrics.json"
    run(metrics_settings(), samples=[tmp_path / "s.jsonl"], test=tmp_path / "test.jsonl.gz", metrics=out)
    record = json.loads(out.read_text())
    assert (record["run"], record["dataset"], record["cutoffs"]) == ("s", "toy", "mp_20")
    assert (record["rates"]["validity"]["count"], record["rates"]["validity"]["of"]) == (2, 3)
    assert record["rates"]["coverage_recall"]["of"] == 2
    assert record["distances"]["cdvae"]["drawn"] == 2
    assert (tmp_path / "test.described.jsonl.gz").exists()


@pytest.mark.parametrize(
    ("dataset", "chosen", "expected"),
    [("perov_5", None, "perov_5"), ("my_oxides", None, "mp_20"), ("mp_20", "carbon_24", "carbon_24")],
)
def test_cutoffs_are_those_of_the_data_set_unless_others_are_named(
    tmp_path: Path, dataset: str, chosen: str | None, expected: str
) -> None:
    write_crystals(tmp_path / "test.jsonl", [rock_salt("t0")])
    out = tmp_path / "metrics.json"
    run(
        metrics_settings(dataset, cutoffs=chosen),
        samples=[tmp_path / "test.jsonl"],
        test=tmp_path / "test.jsonl",
        metrics=out,
    )
    assert json.loads(out.read_text())["cutoffs"] == expected


def test_crystals_of_others_come_in_their_own_format(tmp_path: Path) -> None:
    for name, crystal in (("made", rock_salt("a")), ("real", rock_salt("b"))):
        (tmp_path / f"{name}.cif").write_text(crystal.structure.to(fmt="cif"))
    out = tmp_path / "metrics.json"
    run(metrics_settings(), samples=[tmp_path / "made.cif"], test=tmp_path / "real.cif", metrics=out)
    record = json.loads(out.read_text())
    assert record["run"] == "made"
    assert [record["rates"][f"coverage_{name}"]["count"] for name in ("recall", "precision")] == [1, 1]


def test_an_odd_scaler_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text("{}")
    with pytest.raises(MiadError, match="means and stds"):
        read_scaler(tmp_path / "s.json")


def test_the_scaler_of_cdvae_is_readable(real_data: Path) -> None:
    mean, deviation = read_scaler(real_data / "cdvae_magpie_scaler.json")
    assert mean.shape == deviation.shape == (132,)
