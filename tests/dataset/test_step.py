"""The dataset step: what a standard cell is, stable ids, honest energies, and one clear error for each bad input."""

import csv
import dataclasses
import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from miad.config.sections import Dataset, Unreadable, from_record
from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.dataset import step as dataset
from miad.dataset.step import run, standardise
from miad.io import download
from miad.io.cif import parse_cif
from miad.io.published_data import Source
from tests.builders.symmetric import symmetric

ROCK_SALT = symmetric("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
FLUORITE = symmetric("Fm-3m", Lattice.cubic(5.5), ["Ca", "F"], [[0, 0, 0], [0.25, 0.25, 0.25]])
QUARTZ = symmetric(  # chiral: P3_221
    "P3_221", Lattice.hexagonal(4.91, 5.43), ["Si", "O"], [[0.465, 0, 2 / 3], [0.415, 0.272, 0.786]]
)
ROWS = [
    {"material_id": f"mp-{index:03d}", "cif": structure.to(fmt="cif"), "energy": energy, "status": status}
    for index, (structure, energy, status) in enumerate(
        [(ROCK_SALT, "-3.5", "good"), (FLUORITE, "", "guessed"), (QUARTZ, "nan", "good"), (ROCK_SALT, "-3.25", "good")]
    )
]


def settings(**changes) -> Dataset:
    defaults = {
        "seed": 1, "name": "own", "files": {}, "checksums": {}, "max_crystals": None, "exclude": {},
        "energy_column": None, "energy_kind": "total", "energy_frame": None, "unreadable": "stop",
        "split": [0.5, 0.25, 0.25],
    }  # fmt: skip
    return Dataset(**(defaults | changes))


def table(path: Path, rows: list[dict]) -> str:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


@pytest.fixture
def make(tmp_path):
    """Run the step; returns {split: crystals}. Rows go to all three files unless `files` is given."""

    def made(rows: list[dict] | None = None, **changes) -> dict[str, list[Crystal]]:
        if "files" not in changes:
            path = table(tmp_path / "table.csv", ROWS if rows is None else rows)
            changes["files"] = dict.fromkeys(("train", "val", "test"), path) | changes.pop("more_files", {})
        outputs = {split: tmp_path / "out" / f"{split}.jsonl.gz" for split in ("train", "val", "test")}
        run(settings(**changes), **outputs)
        return {split: read_crystals(path) for split, path in outputs.items()}

    return made


def in_standard_orientation(structure: Structure) -> np.ndarray:
    return Lattice.from_parameters(*structure.lattice.parameters).matrix


@pytest.mark.parametrize(("structure", "atoms"), [(ROCK_SALT, 2), (FLUORITE, 3), (QUARTZ, 9)])
def test_the_standard_cell_is_primitive_reduced_and_the_same_crystal(structure, atoms):
    standard = standardise(structure)
    assert len(standard) == atoms
    assert StructureMatcher(primitive_cell=False, scale=False).fit(standard, structure.get_primitive_structure())
    assert standard.volume / len(standard) == pytest.approx(structure.volume / len(structure))
    a, b, c = standard.lattice.abc
    assert a <= b * (1 + 1e-9) <= c * (1 + 2e-9)
    angles = np.array(standard.lattice.angles)
    assert (angles <= 90 + 1e-6).all() or (angles >= 90 - 1e-6).all()  # Niggli: all acute or none
    np.testing.assert_allclose(standard.lattice.matrix, in_standard_orientation(standard), atol=1e-9)


def test_every_description_of_a_crystal_gives_the_same_cell():
    turned = QUARTZ.copy()
    turned.apply_operation(rotation_about([1, 2, 3], 40))
    shifted = QUARTZ.copy()
    shifted.translate_sites(list(range(len(shifted))), [0.3, 0.1, 0.7])
    left_handed = Structure(Lattice(-QUARTZ.lattice.matrix), QUARTZ.species, -QUARTZ.frac_coords)
    skewed = QUARTZ * [[1, 0, 0], [3, 1, 0], [-2, 1, 1]]
    for other in (turned, shifted, left_handed, skewed, QUARTZ * (2, 1, 2), standardise(QUARTZ)):
        standard = standardise(other)
        np.testing.assert_allclose(standard.lattice.parameters, standardise(QUARTZ).lattice.parameters, atol=1e-6)
        assert np.linalg.det(standard.lattice.matrix) > 0
        assert StructureMatcher().fit(standard, QUARTZ)


def rotation_about(axis, degrees):
    from pymatgen.core.operations import SymmOp

    return SymmOp.from_axis_angle_and_translation(axis, degrees)


def handedness(structure: Structure) -> float:
    """A sum of signed volumes over Si-Si-O triples: the same for every description, opposite for the mirror image."""
    silicon = [index for index, site in enumerate(structure) if site.specie.symbol == "Si"]
    total = 0.0
    for index in silicon:
        near = sorted(structure.get_neighbors(structure[index], 3.6), key=lambda site: site.nn_distance)
        oxygen = [site.coords - structure[index].coords for site in near if site.specie.symbol == "O"][:4]
        others = [site.coords - structure[index].coords for site in near if site.specie.symbol == "Si"][:4]
        for first in others:
            for second in others:
                bridge = max(oxygen, key=lambda bond: bond @ first)
                total += float(np.cross(first, second) @ bridge) * float(first @ second)
    return total


def test_left_and_right_quartz_stay_apart():
    mirrored = Structure(Lattice(QUARTZ.lattice.matrix * [1, 1, -1]), QUARTZ.species, QUARTZ.frac_coords)
    assert handedness(QUARTZ) == pytest.approx(-handedness(mirrored))
    assert abs(handedness(QUARTZ)) > 1e-3
    for structure in (QUARTZ, mirrored):
        assert np.sign(handedness(standardise(structure))) == np.sign(handedness(structure))


def test_charges_do_not_decide_what_is_primitive():
    charged = ROCK_SALT.copy()
    charged.add_oxidation_state_by_site([1, 1, 1, 3, -1, -1, -1, -3])
    assert len(standardise(charged)) == 2


def test_ids_are_made_of_set_split_and_row_and_survive_exclusion(make):
    crystals = make(exclude={"status": ["guessed"]})
    assert [crystal.crystal_id for crystal in crystals["val"]] == [f"own-val-{row:06d}" for row in (0, 2, 3)]
    assert [crystal.source_id for crystal in crystals["val"]] == ["mp-000", "mp-002", "mp-003"]


def test_max_crystals_takes_the_first_rows(make):
    assert [crystal.source_id for crystal in make(max_crystals=2)["train"]] == ["mp-000", "mp-001"]


def test_the_same_settings_write_the_same_bytes(make, tmp_path):
    make()
    before = (tmp_path / "out" / "train.jsonl.gz").read_bytes()
    make()
    assert (tmp_path / "out" / "train.jsonl.gz").read_bytes() == before


def test_many_crystals_on_all_cores_come_in_the_order_of_the_file(make, monkeypatch):
    rows = [ROWS[index % 4] | {"material_id": str(index)} for index in range(40)]
    alone = make(rows)
    monkeypatch.setattr(dataset, "FEW", 10)
    monkeypatch.setenv("MIAD_CORES", "2")
    together = make(rows)
    assert [crystal.source_id for crystal in together["train"]] == [str(index) for index in range(40)]
    for one, other in zip(alone["test"], together["test"], strict=True):
        np.testing.assert_array_equal(one.frac_coords, other.frac_coords)


def test_total_energies_are_kept_and_absent_ones_are_not_known(make):
    train = make(energy_column="energy", energy_frame="mp2020")["train"]
    assert [crystal.energy_per_atom for crystal in train] == [-3.5, None, None, -3.25]
    assert [crystal.energy_frame for crystal in train] == ["mp2020", None, None, "mp2020"]


def test_formation_energies_become_totals_by_the_elemental_references(make, tmp_path):
    references = tmp_path / "references.json"
    references.write_text(json.dumps({"Na": -1.3, "Cl": -1.8}))
    formation = {"energy_column": "energy", "energy_frame": "mp2020", "energy_kind": "formation"}
    train = make([ROWS[0]], more_files={"references": str(references)}, **formation)["train"]
    assert train[0].energy_per_atom == pytest.approx(-3.5 + (-1.3 - 1.8) / 2)
    with pytest.raises(MiadError, match="references"):
        make(**formation)
    references.write_text(json.dumps({"Na": -1.3}))
    with pytest.raises(MiadError, match="no energy of Cl"):
        make(more_files={"references": str(references)}, **formation)
    references.write_text("[1]")
    with pytest.raises(MiadError, match="no JSON of"):
        make(more_files={"references": str(references)}, **formation)


def test_one_file_is_drawn_apart_by_fractions_and_seed(make, tmp_path):
    path = table(tmp_path / "all.csv", [ROWS[0] | {"material_id": str(index)} for index in range(40)])
    drawn = make(files={"train": path})
    assert {split: len(crystals) for split, crystals in drawn.items()} == {"train": 20, "val": 10, "test": 10}
    ids = [crystal.source_id for crystals in drawn.values() for crystal in crystals]
    assert sorted(ids, key=int) == [str(index) for index in range(40)]
    again, other = make(files={"train": path}), make(files={"train": path}, seed=2)
    assert [crystal.source_id for crystal in again["val"]] == [crystal.source_id for crystal in drawn["val"]]
    assert [crystal.source_id for crystal in other["val"]] != [crystal.source_id for crystal in drawn["val"]]


def test_without_a_test_file_half_of_val_becomes_test_and_train_stays(make, tmp_path):
    train = table(tmp_path / "train.csv", ROWS)
    val = table(tmp_path / "val.csv", [ROWS[0] | {"material_id": str(index)} for index in range(10)])
    made = make(files={"train": train, "val": val})
    assert [crystal.source_id for crystal in made["train"]] == [row["material_id"] for row in ROWS]
    halves = {crystal.source_id for crystal in made["val"]}, {crystal.source_id for crystal in made["test"]}
    assert [len(half) for half in halves] == [5, 5]
    assert not halves[0] & halves[1]


def test_a_zip_is_read_in_place_by_the_name_of_its_split(make, tmp_path):
    path = tmp_path / "set.zip"
    text = Path(table(tmp_path / "t.csv", ROWS)).read_text()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for split in ("train", "val", "test"):
            archive.writestr(f"../../{split}.csv", text)  # a hostile folder has no effect
    made = make(files=dict.fromkeys(("train", "val", "test"), str(path)))
    assert len(made["test"]) == len(ROWS)
    assert {file.name for file in tmp_path.iterdir()} == {"set.zip", "t.csv", "out"}


def test_a_gzipped_table_and_its_checksum(make, tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(Path(table(tmp_path / "t.csv", ROWS)).read_bytes()))
    files = dict.fromkeys(("train", "val", "test"), str(path))
    assert len(make(files=files)["train"]) == len(ROWS)
    with pytest.raises(MiadError, match=r"expected 00.*dataset\.checksums\.val"):
        make(files=files, checksums={"val": "md5:" + "0" * 32})


def test_a_url_is_downloaded_from_the_publisher_unless_a_path_is_given(make, tmp_path, monkeypatch):
    asked = []

    def fetch(url, *, checksum, setting):
        asked.append((url.rsplit("/", 1)[-1], checksum.partition(":")[0], setting))
        return Path(path)

    path = table(tmp_path / "t.csv", ROWS)
    monkeypatch.setattr(download, "fetch", fetch)
    assert len(make(name="mp_20", files={"train": path})["val"]) == len(ROWS)
    assert asked == [("val.csv", "git", "dataset.files.val"), ("test.csv", "git", "dataset.files.test")]
    asked.clear()
    text = Path(path).read_text()
    path = str(tmp_path / "alex_mp_20.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for split in ("train", "val"):
            archive.writestr(f"alex_mp_20/{split}.csv", text)
    made = make(name="alex_mp_20", files={})
    assert [name for name, _, _ in asked] == ["alex_mp_20.zip"] * 2
    assert [len(made[split]) for split in ("train", "val", "test")] == [4, 2, 2]


def test_an_entry_among_the_published_sets_is_a_data_set(make, tmp_path, monkeypatch):
    """One file, which is drawn apart, at an address with its checksum."""
    source = Source("https://example.org/perovskites.csv", "sha256:" + 64 * "0", "A paper")
    monkeypatch.setattr(dataset, "DATA_SETS", {"perovskites": {"train": source}})

    def fetch(url, *, checksum, setting):
        assert (url, checksum, setting) == (source.url, source.checksum, "dataset.files.train")
        return Path(table(tmp_path / "perovskites.csv", ROWS))

    monkeypatch.setattr(download, "fetch", fetch)
    crystals = make(name="perovskites", files={})
    assert {split: len(part) for split, part in crystals.items()} == {"train": 2, "val": 1, "test": 1}
    assert crystals["train"][0].crystal_id.startswith("perovskites-train-")


def test_the_built_in_set_is_copied(tmp_path, monkeypatch):
    crystals = [
        Crystal.from_structure(f"prototypes-{n}", standardise(ROCK_SALT), energy_per_atom=-3.0) for n in range(3)
    ]
    for split in ("train", "val", "test"):
        write_crystals(tmp_path / f"prototypes_{split}.jsonl.gz", crystals)
    monkeypatch.setattr(dataset.importlib.resources, "files", lambda _: tmp_path)
    outputs = {split: tmp_path / f"{split}.jsonl.gz" for split in ("train", "val", "test")}
    run(settings(name="prototypes"), **outputs)
    assert outputs["val"].read_bytes() == (tmp_path / "prototypes_val.jsonl.gz").read_bytes()
    run(settings(name="prototypes", max_crystals=1), **outputs)
    assert [crystal.crystal_id for crystal in read_crystals(outputs["train"])] == ["prototypes-0"]
    (tmp_path / "prototypes_test.jsonl.gz").unlink()
    with pytest.raises(MiadError, match="Install miad again"):
        run(settings(name="prototypes"), **outputs)


def test_an_unreadable_row_stops_with_file_row_id_and_remedy(make, tmp_path):
    rows = [ROWS[0], ROWS[1] | {"cif": "data_\nnothing"}, ROWS[2]]
    with pytest.raises(MiadError) as caught:
        make(rows)
    for part in (str(tmp_path / "table.csv"), "row 1 ", "mp-001", "unreadable", "dataset.exclude", "unreadable: skip"):
        assert part in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_unreadable_rows_can_be_skipped_counted_and_logged(make, caplog):
    rows = [ROWS[0], ROWS[1] | {"cif": ""}, ROWS[2] | {"cif": "nonsense"}, ROWS[3]]
    made = make(rows, unreadable="skip", bound=Unreadable(max_share=0.5))
    assert [crystal.crystal_id[-1] for crystal in made["train"]] == ["0", "3"]
    assert "table.csv: 2 of 4 rows failed and are left out: 1 × its cif is empty (e.g. row 1, mp-001)" in caplog.text
    with pytest.raises(MiadError, match=r"none of its 1 rows can be read, e\.g\. row 0, mp-001: its cif is empty"):
        make([ROWS[1] | {"cif": ""}], unreadable="skip")


def test_a_row_that_costs_its_reader_more_than_an_error_is_an_unreadable_one(make, monkeypatch, caplog):
    def parse(text: str):
        if text == "deep":
            raise RecursionError("too deep")
        return parse_cif(text)

    monkeypatch.setattr(dataset, "parse_cif", parse)
    rows = [ROWS[0], ROWS[1] | {"cif": "deep"}, ROWS[3]]
    with pytest.raises(MiadError, match=r"table\.csv, row 1 .*mp-001: RecursionError: too deep"):
        make(rows)
    made = make(rows, unreadable="skip", bound=Unreadable(max_share=0.5))
    assert [crystal.crystal_id[-1] for crystal in made["train"]] == ["0", "2"]
    assert "1 × RecursionError: too deep" in caplog.text


def test_more_unreadable_rows_than_the_bound_stop_with_counts_and_reasons(make):
    rows = [*ROWS * 5, ROWS[1] | {"cif": ""}, ROWS[1] | {"cif": ""}, ROWS[2] | {"cif": "nonsense"}]
    with pytest.raises(
        MiadError, match=r"3 of 23 rows cannot be read, more than 0\.1 .*2 × its cif is empty \(e\.g\. row 20"
    ):
        make(rows, unreadable="skip")
    assert len(make(rows[:-1], unreadable="skip")["train"]) == 20


@pytest.mark.parametrize("energy", ["inf", "-inf", "1e999"])
def test_an_energy_without_end_is_named(make, energy):
    with pytest.raises(MiadError, match=f"mp-000: its energy '{energy}' is not a number"):
        make([ROWS[0] | {"energy": energy}], energy_column="energy", energy_frame="mp2020")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exclude": {"status": ["good", "guessed"]}}, "all 4 rows are excluded"),
        ({"exclude": {"stat": ["x"]}}, "no column stat; it has material_id, cif, energy, status"),
        ({"energy_column": "e", "energy_frame": "mp2020"}, "no column e;"),
        ({"energy_column": "energy"}, "energy_frame"),
        ({"energy_column": "status", "energy_frame": "mp2020"}, "status 'good' is not a number"),
        ({"name": "mp20", "files": {}}, "did you mean mp_20"),
        ({"files": {"train": "/nowhere/train.csv"}}, "/nowhere/train.csv does not exist"),
        ({"files": {"train": "ftp://host/train.csv"}}, "does not exist"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_the_reason(make, changes, message):
    with pytest.raises(MiadError, match=message):
        make(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"energy_kind": "free"}, "energy_kind is 'free', expected total or formation"),
        ({"unreadable": "ignore"}, "unreadable is 'ignore', expected stop or skip"),
        ({"name": "../evil"}, "name is '../evil', expected text of the form"),
        ({"files": {"training": "x.csv"}}, r"files.training .*\(train\|val\|test\|references\)"),
    ],
)
def test_values_that_cannot_be_are_refused_with_the_settings(changes, message):
    with pytest.raises(MiadError, match=message):
        from_record(Dataset, {**dataclasses.asdict(settings()), **changes})


def test_train_and_test_without_val_is_refused(make, tmp_path):
    path = table(tmp_path / "t.csv", ROWS)
    with pytest.raises(MiadError, match="train and test only"):
        make(files={"train": path, "test": path})


def test_too_few_rows_for_three_splits(make, tmp_path):
    with pytest.raises(MiadError, match="no crystal is left"):
        make(files={"train": table(tmp_path / "t.csv", ROWS[:1])})


def test_the_real_mp_20_gives_total_energies_close_to_the_hull(make, real_data):
    folder = real_data / "mp_20_rebuilt"
    made = make(
        name="mp_20_rebuilt", max_crystals=12, energy_column="formation_energy_per_atom", energy_kind="formation",
        energy_frame="mp2020", exclude={"structure_status": ["missing", "guessed_id_later_release_scaled"]},
        files={split: str(folder / f"{split}.csv.gz") for split in ("train", "val", "test")}
        | {"references": str(real_data / "hull" / "mp_elemental_ref_energies_per_atom.json")},
    )  # fmt: skip
    first = made["train"][0]
    assert (first.crystal_id, first.source_id) == ("mp_20_rebuilt-train-000000", "mp-1221227")
    assert first.reduced_formula == "Na3MnCoNiO6"
    with gzip.open(folder / "train.csv.gz", "rt") as text:
        row = next(csv.DictReader(io.StringIO(text.read(20_000))))
    original = Structure.from_str(row["cif"], fmt="cif")
    assert StructureMatcher(scale=False).fit(first.structure, original)
    known = json.loads((real_data / "hull" / "mp_elemental_ref_energies_per_atom.json").read_text())
    sum_of_elements = np.mean([known[site.specie.symbol] for site in original])
    assert first.energy_per_atom == pytest.approx(float(row["formation_energy_per_atom"]) + sum_of_elements)


def test_crystals_that_are_large_after_standardisation_are_left_out(make, caplog):
    """The conventional cell of rock salt has 8 atoms, its primitive one 2; quartz has 9."""
    caplog.set_level("INFO")
    found = make(max_atoms=2)
    assert [crystal.num_atoms for crystal in found["train"]] == [2, 2]
    assert "train: 2 crystals of more than 2 atoms are left out" in caplog.text
    with pytest.raises(MiadError, match=r"no crystal is left for train and val and test\. .*max_atoms"):
        make(max_atoms=1)


def test_the_built_in_crystals_are_sifted_by_size_too(make):
    found = make(name="prototypes", files={}, max_atoms=2)
    assert all(crystal.num_atoms <= 2 for crystals in found.values() for crystal in crystals)
    assert len(found["train"]) > 100
