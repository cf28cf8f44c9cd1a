"""Coverage and distances by hand: a set covers itself, and nothing covers what is missing."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from miad import __main__ as command
from miad.core.crystal import Crystal, write_crystals
from miad.metrics.fingerprints import Description
from miad.metrics.scaler import scaler_of
from miad.metrics.step import coverage, property_distances, run
from tests.builders.crystals import caesium_chloride, rock_salt
from tests.builders.settings import metrics_settings

UNIT = (np.zeros(132), np.ones(132))


def described(structure: float, composition: float, density: float = 1.0, num_elements: int = 2) -> Description:
    return Description(
        distance=2.0,
        image_distance=4.0,
        volume=64.0,
        structure=np.full(61, structure),
        composition=np.full(132, composition),
        density=density,
        num_elements=num_elements,
    )


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
    test = [described(0.0, 0.0), dataclasses.replace(described(0.0, 0.0), structure=None)]
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
    valid = [described(0, 0, density=3.5, num_elements=3)] * 5
    expected = {"drawn": 4, "d_rho": pytest.approx(1.5), "d_elem": pytest.approx(1.0)}
    assert property_distances(valid, test, draw=4, seed=0) == expected
    assert property_distances([], test, draw=4, seed=0)["d_rho"] is None
    # test crystals that cannot be read have no density
    assert property_distances(valid, [*test, Description(fault="read: no atoms")], draw=4, seed=0) == expected


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
    assert (record["scaler"], record["self_images"]) == ("cdvae", False)
    assert (record["rates"]["validity"]["count"], record["rates"]["validity"]["of"]) == (2, 3)
    assert record["rates"]["coverage_recall"]["of"] == 2
    assert record["distances"]["cdvae"]["drawn"] == 2
    versions = record["versions"]
    assert versions["smact"] == "2.2.1 (its tables)" and versions["matminer"] and versions["pymatgen-core"]
    assert (tmp_path / "test.metrics.jsonl.gz").exists()


def table_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as text:
        return {row["crystal_id"]: row for row in csv.DictReader(text)}


def test_every_sample_has_its_row_with_the_reasons(tmp_path: Path) -> None:
    write_crystals(tmp_path / "test.jsonl", [rock_salt("t0")])
    thin = Crystal("thin", np.diag([5.0, 5.0, 0.45]), np.array([[0, 0, 0], [0.5, 0.5, 0]]), np.array([11, 17]))
    samples = [
        rock_salt("good"),
        caesium_chloride("bk").replace(atomic_numbers=np.array([97, 8])),
        caesium_chloride("he").replace(atomic_numbers=np.array([2, 8])),
        thin,
        rock_salt("lost").failed("sample", "no real atom is left"),
    ]
    write_crystals(tmp_path / "s.jsonl", samples)
    for name, settings in (("out", metrics_settings()), ("strict", metrics_settings(self_images=True))):
        run(settings, samples=[tmp_path / "s.jsonl"], test=tmp_path / "test.jsonl", metrics=tmp_path / f"{name}.json")
    rows = table_of(tmp_path / "out.crystals.csv")
    assert list(rows) == ["good", "bk", "he", "thin", "lost"]
    assert rows["good"]["formula"] == "NaCl" and float(rows["good"]["smallest_distance"]) == pytest.approx(2.82)
    valid = {name: (row["composition_valid"], row["structure_valid"], row["valid"]) for name, row in rows.items()}
    assert valid == {
        "good": ("True", "True", "True"),
        "bk": ("True", "True", "False"),
        "he": ("False", "True", "False"),
        "thin": ("True", "True", "True"),
        "lost": ("False", "False", "False"),
    }
    assert rows["bk"]["fingerprint_reason"] == "CrystalNN knows no radius of Bk"
    assert rows["he"]["composition_reason"] == "SMACT 2.2.1 has no oxidation states of He"
    assert (rows["lost"]["failure"], rows["lost"]["volume"]) == ("sample: no real atom is left", "")
    assert rows["thin"]["structure_valid_self_images"] == "False"
    assert float(rows["thin"]["smallest_self_image_distance"]) == pytest.approx(0.45)
    strict = table_of(tmp_path / "strict.crystals.csv")["thin"]
    assert (strict["structure_valid"], strict["valid"]) == ("False", "False")
    rates = [json.loads((tmp_path / f"{name}.json").read_text())["rates"] for name in ("out", "strict")]
    assert [one["structural_validity"]["count"] for one in rates] == [4, 3]
    assert [one["structural_validity_self_images"]["count"] for one in rates] == [3, 3]
    assert [one["validity"]["count"] for one in rates] == [2, 1]


def test_berkelium_and_californium_of_others(tmp_path: Path, monkeypatch, caplog) -> None:
    """A public report's case: CfO without a radius took the metrics of all others with it."""
    monkeypatch.chdir(tmp_path)  # no config.yaml here: the shipped settings serve
    cells = [
        f'2\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T" id={a}{b}\n{a} 0 0 0\n{b} 2 2 2\n'
        for a, b in (("Na", "Cl"), ("Cf", "O"))
    ]
    Path("bk_cf_es.extxyz").write_text("".join(cells))
    Path("test.extxyz").write_text(cells[0])
    flags = ["--samples", "bk_cf_es.extxyz", "--test", "test.extxyz", "--metrics", "m.json"]
    with caplog.at_level("WARNING", logger="miad"):
        assert command.main(["metrics", *flags, "--crystals", "rows.csv"]) == 0
    assert "1 of 2 samples without fingerprints: CrystalNN knows no radius of Cf" in caplog.text
    by_id = {row["source_id"]: row for row in table_of(Path("rows.csv")).values()}
    assert {name: row["has_fingerprints"] for name, row in by_id.items()} == {"NaCl": "True", "CfO": "False"}
    assert json.loads(Path("m.json").read_text())["rates"]["coverage_precision"]["count"] == 1


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
