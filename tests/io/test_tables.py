"""Tables of any delimiter and in Parquet, and the files that other programs write, read as they come."""

import json
import zipfile
from pathlib import Path

import pandas
import pytest
from ase.io import write
from pymatgen.io.ase import AseAtomsAdaptor

from miad.core.errors import MiadError
from miad.io.any_format import read_any
from tests.builders.crystals import caesium_chloride
from tests.builders.inputs import cifs, structures, xyz
from tests.builders.tables import optimade

NAMES = ["salt-7", "cscl-8"]


def check(path: Path, names: list[str | None] | None = None, column: str | None = None) -> None:
    """The two crystals are there, in their order, with these ids."""
    found = read_any(path, "t", column)
    assert [str(one.failure) for one in found] == ["None", "None"]
    assert [one.source_id for one in found] == (names or NAMES)
    for one, structure in zip(found, structures().values(), strict=True):
        assert one.reduced_formula == structure.reduced_formula
        assert one.num_atoms == len(structure) and one.volume == pytest.approx(structure.volume, rel=1e-5)


def frame(**columns) -> pandas.DataFrame:
    return pandas.DataFrame({"material_id": NAMES, **columns})


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("mark", ["", "\ufeff", "sep="])
def test_a_table_has_any_delimiter(tmp_path: Path, delimiter: str, mark: str) -> None:
    text = frame(formula=["a;b,c", "d|e"], cif=list(cifs().values())).to_csv(sep=delimiter, index=False)
    mark = f"sep={delimiter}\n" if mark == "sep=" else mark
    (tmp_path / "t.csv").write_text(mark + text)
    check(tmp_path / "t.csv")


def test_a_space_after_the_delimiter_is_no_part_of_a_name(tmp_path: Path) -> None:
    rows = "".join(f'{name}, "{text}"\n' for name, text in cifs().items())
    (tmp_path / "t.csv").write_text("id, cif\n" + rows)
    check(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,cif\n".encode("utf-16"), "UTF-16.*iconv"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS.*git lfs pull"),
        (b"\n<!DOCTYPE html>\n<html><head>", "page of the web"),
        (b"<?xml version='1.0'?>\n<html>", "page of the web"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl", "a.extxyz", "a.cif", "a.zip", "a.parquet", "a.csv.gz"])
def test_what_stands_in_the_place_of_data_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MiadError, match=rf"{name} is .*{message}"):
        read_any(tmp_path / name, "a")


def test_columns_that_hide_each_other_and_rows_that_are_too_long_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("cif,energy_per_atom,Energy_per_atom\nx,1,2\n")
    with pytest.raises(MiadError, match="several columns energy_per_atom"):
        read_any(tmp_path / "t.csv", "t")
    (tmp_path / "t.csv").write_text("id,cif\na,data_x, with a comma\n")
    with pytest.raises(MiadError, match=r"more fields than the header.*quotes"):
        read_any(tmp_path / "t.csv", "t")


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet"])
def test_the_column_of_crystals_is_chosen_by_name(tmp_path: Path, form: str) -> None:
    table = frame(structure=["none"] * 2, relxed_structure=list(cifs().values()))
    path = tmp_path / f"t.{form}"
    make = {
        "csv": lambda: table.to_csv(path),
        "json": lambda: table.to_json(path),
        "jsonl": lambda: table.to_json(path, orient="records", lines=True),
        "parquet": lambda: table.to_parquet(path),
    }
    make[form]()
    assert all(one.failure for one in read_any(path, "t"))
    check(path, column="relxed_structure")
    if form in ("csv", "parquet"):
        with pytest.raises(MiadError, match=r"no column relaxed; it has .*relxed_structure.*--column"):
            read_any(path, "t", "relaxed")
        with pytest.raises(MiadError, match=r"no column cif, .*; it has \w.*call it cif in the file"):
            frame(crystal=["none"] * 2).to_csv(tmp_path / "other.csv")
            read_any(tmp_path / "other.csv", "t")
    else:
        try:
            assert all(one.failure for one in read_any(path, "t", "relaxed"))
        except MiadError as error:
            assert "relaxed" in str(error)


def test_a_column_is_asked_of_tables_only_and_two_are_told_apart(tmp_path: Path, caplog) -> None:
    (tmp_path / "a.xyz").write_text(xyz())
    with pytest.raises(MiadError, match="--column cif is of tables"):
        read_any(tmp_path / "a.xyz", "a", "cif")
    frame(structure=["none"] * 2, cif=list(cifs().values())).to_csv(tmp_path / "t.csv")
    check(tmp_path / "t.csv")
    assert "column `cif` are read, not those of `structure`" in caplog.text


@pytest.mark.parametrize("form", ["text", "struct", "optimade"])
def test_parquet(tmp_path: Path, form: str) -> None:
    records = [json.loads(one.to_json().replace('"properties": {}, ', "")) for one in structures().values()]
    entries = [optimade(name, one)["attributes"] for name, one in structures().items()]
    tables = {
        "text": frame(cif=list(cifs().values())),
        "struct": frame(structure=records),
        "optimade": pandas.DataFrame([{"material_id": name, **one} for name, one in zip(NAMES, entries, strict=True)]),
    }
    tables[form].to_parquet(tmp_path / "t.parquet")
    check(tmp_path / "t.parquet")
    torn = tmp_path / "torn.parquet"
    torn.write_bytes((tmp_path / "t.parquet").read_bytes()[:-40])
    with pytest.raises(MiadError, match="torn"):
        read_any(torn, "t")


def test_rows_without_names_of_columns_are_refused(tmp_path: Path) -> None:
    frame(cif=list(cifs().values())).to_json(tmp_path / "t.json", orient="values")
    with pytest.raises(MiadError, match=r"no names of columns.*orient='records'"):
        read_any(tmp_path / "t.json", "t")


@pytest.mark.parametrize("orient", ["columns", "index", "records", "split", "table"])
def test_a_data_frame_of_cifs_is_read_in_every_orient(tmp_path: Path, orient: str) -> None:
    frame(cif=list(cifs().values())).to_json(tmp_path / "t.json", orient=orient)
    check(tmp_path / "t.json")


def test_ids_that_no_text_can_hold_cost_no_crystal(tmp_path: Path) -> None:
    odd = ["a\ud800\n\x1b[31m", "x" * 5000]
    content = [{"id": name, "structure": one.as_dict()} for name, one in zip(odd, structures().values(), strict=True)]
    (tmp_path / "t.json").write_text(json.dumps(content))
    first, second = read_any(tmp_path / "t.json", "t")
    assert first.failure is None and first.source_id == "a\\ud800 \\x1b[31m"
    assert second.failure is None and len(second.source_id) <= 200


# Files of peers, written here as their programs write them.


def test_crystalformer(tmp_path: Path) -> None:
    """Its `cif` column holds Python's text of Structure.as_dict, without ids."""
    pandas.DataFrame({"cif": [str(one.as_dict()) for one in structures().values()]}).to_csv(
        tmp_path / "output_225_struct.csv"
    )
    check(tmp_path / "output_225_struct.csv", ["0", "1"])


@pytest.mark.parametrize(("written", "failure"), [("np.float64({})", None), ("nan", "finite")])
def test_a_number_as_numpy_writes_it_is_that_number(tmp_path: Path, written: str, failure: str | None) -> None:
    """NumPy 2 writes np.float64(4.1); a label or a charge that is nan costs nothing, a coordinate does."""
    record = caesium_chloride("c").structure.as_dict()
    shift = record["sites"][1]["abc"][0]
    record["sites"][1] |= {"abc": ["HERE", *record["sites"][1]["abc"][1:]], "label": "nan"}
    text = str(record | {"charge": float("nan")}).replace("'HERE'", written.format(shift))
    pandas.DataFrame({"cif": [text]}).to_csv(tmp_path / "t.csv")
    [found] = read_any(tmp_path / "t.csv", "t")
    if failure:
        assert found.failure is not None and failure in found.failure.reason
    else:
        assert found.failure is None and found.frac_coords[1][0] == pytest.approx(shift)


def test_flowmm(tmp_path: Path) -> None:
    """Relaxed CIFs in a column of its own spelling."""
    table = pandas.DataFrame({"relxed_structure": list(cifs().values()), "e_hull": [0.1, 0.2], "method": ["x", "y"]})
    table.to_csv(tmp_path / "ehull.csv")
    with pytest.raises(MiadError, match=r"relxed_structure.*--column"):
        read_any(tmp_path / "ehull.csv", "f")
    check(tmp_path / "ehull.csv", ["0", "1"], column="relxed_structure")


def test_diffcsp_and_mattergen(tmp_path: Path) -> None:
    """ASE's extended XYZ without ids, and a zip of gen_0.cif, gen_1.cif."""
    atoms = [AseAtomsAdaptor.get_atoms(one) for one in structures().values()]
    for name in ("diffcsp.extxyz", "generated_crystals.extxyz"):
        write(tmp_path / name, atoms, format="extxyz")
        check(tmp_path / name, [None, None])
    with zipfile.ZipFile(tmp_path / "generated_crystals_cif.zip", "w") as archive:
        for number, text in enumerate(cifs().values()):
            archive.writestr(f"gen_{number}.cif", text)
    check(tmp_path / "generated_crystals_cif.zip", ["gen_0", "gen_1"])


@pytest.mark.parametrize("column", ["structure", "LeMatStructs", "cif_string"])
def test_lemat(tmp_path: Path, column: str) -> None:
    """JSON of structures, or CIF, in one of three columns."""
    texts = list(cifs().values()) if column == "cif_string" else [one.to_json() for one in structures().values()]
    frame(**{column: texts}).to_csv(tmp_path / "my_structures.csv", index=False)
    check(tmp_path / "my_structures.csv")
