"""Names of others: which files are runs, and of which crystal and stage each is."""

from pathlib import Path

import pytest

from miad.dft.run_files import grouped


def found(folder: Path, *paths: str) -> dict[str, list[tuple[str, bool, bool]]]:
    """{crystal: (path, is static, gives no energy) of its runs}."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    runs = grouped([folder])
    return {
        name: [(str(one.path.relative_to(folder)), one.is_static, one.is_other) for one in ones]
        for name, ones in runs.items()
    }


@pytest.mark.parametrize("stage", ["bands", "band", "bandstructure", "nscf", "non-scf", "dos", "phonon", "DOS_2"])
def test_stages_without_an_energy_belong_to_the_crystal_above(stage, tmp_path):
    runs = found(tmp_path, f"Si/{stage}/vasprun.xml", "Si/relax/vasprun.xml", "Si/static/vasprun.xml")
    assert list(runs) == ["Si"]
    kinds = {path.split("/")[1]: kind for path, *kind in runs["Si"]}
    assert kinds == {stage: [False, True], "relax": [False, False], "static": [True, False]}


def test_displacements_of_phonons_are_no_crystals(tmp_path):
    runs = found(tmp_path, "Si/static/vasprun.xml", "Si/phonon/disp-001/vasprun.xml", "Si/phonon/disp-002/vasprun.xml")
    assert [kind for _, *kind in runs.pop("Si")].count([False, True]) == 2 and not runs


def test_stages_may_stand_above_the_crystals(tmp_path):
    runs = found(tmp_path, "relax/Si/vasprun.xml", "static/Si/vasprun.xml", "bands/Si/vasprun.xml")
    assert [kind for _, *kind in runs["Si"]] == [[False, True], [False, False], [True, False]] and len(runs) == 1


def test_stages_in_the_names_of_files(tmp_path):
    names = ("vasprun_static.xml", "vasprun.bands.xml.gz", "vasprun.xml.relax1.gz", "vasprun.xml.static")
    runs = found(tmp_path, *(f"Si/{name}" for name in names))
    kinds = {Path(path).name: kind for path, *kind in runs["Si"]}
    assert kinds == {
        "vasprun_static.xml": [True, False],
        "vasprun.bands.xml.gz": [False, True],
        "vasprun.xml.relax1.gz": [False, False],
        "vasprun.xml.static": [True, False],
    }


def test_folders_of_fireworks_are_crystals(tmp_path):
    folders = [f"block_2024-01-01-00-00-00-0000/launcher_2024-01-0{day}-10-00-00-123456" for day in (1, 2)]
    assert list(found(tmp_path, *(f"{folder}/vasprun.xml.gz" for folder in folders))) == [
        folder.split("/")[1] for folder in folders
    ]


def test_numbers_are_sorted_by_their_value(tmp_path):
    runs = found(tmp_path, *(f"Si/relax_{number}/vasprun.xml" for number in (10, 2, 1)))
    assert [path for path, *_ in runs["Si"]] == [f"Si/relax_{number}/vasprun.xml" for number in (1, 2, 10)]


def test_hidden_files_and_folders_are_no_runs(tmp_path):
    hidden = ("Si/._vasprun.xml", "Si/.ipynb_checkpoints/vasprun.xml", "__MACOSX/Si/vasprun.xml", ".git/vasprun.xml")
    assert list(found(tmp_path, "Si/vasprun.xml", *hidden)["Si"]) == [("Si/vasprun.xml", False, False)]
