"""Two crystals in every format that miad reads: rock salt as salt-7, caesium chloride as cscl-8."""

import gzip
import json
import zipfile
from pathlib import Path

from pymatgen.core import Structure
from pymatgen.io.cif import CifWriter

from tests.builders.crystals import caesium_chloride, rock_salt


def structures() -> dict[str, Structure]:
    return {"salt-7": rock_salt("a").structure, "cscl-8": caesium_chloride("b").structure}


def cifs() -> dict[str, str]:
    return {name: str(CifWriter(structure)) for name, structure in structures().items()}


def xyz(energies: bool = False) -> str:
    text = ""
    for name, structure in structures().items():
        lattice = " ".join(str(x) for x in structure.lattice.matrix.ravel())
        energy = f" energy={-3.0 * len(structure)} energy_frame=mp2020" if energies else ""
        text += f'{len(structure)}\nLattice="{lattice}" Properties=species:S:1:pos:R:3 id={name}{energy} pbc="T T T"\n'
        for site in structure:
            text += f"{site.specie.symbol} {' '.join(f'{x:.12f}' for x in site.coords)}\n"
    return text


def make_csv(folder: Path) -> Path:
    path = folder / "set.csv.gz"
    rows = "\n".join(f'{name},"{text}"' for name, text in cifs().items())
    path.write_bytes(gzip.compress(f"material_id,cif\n{rows}\n".encode()))
    return path


def make_folder(folder: Path) -> Path:
    path = folder / "cifs"
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "salt-7.cif").write_text(cifs()["salt-7"])
    (path / "cscl-8.cif.gz").write_bytes(gzip.compress(cifs()["cscl-8"].encode()))
    return path


def make_zip(folder: Path) -> Path:
    path = folder / "cifs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in cifs().items():
            archive.writestr(f"inside/{name}.cif", text)
    return path


def make_blocks(folder: Path) -> Path:
    path = folder / "all.cif"
    path.write_text("".join(text.replace("data_NaCl", f"data_{name}") for name, text in cifs().items()))
    return path


def make_json(folder: Path) -> Path:
    path = folder / "set.json"
    path.write_text(json.dumps({name: structure.as_dict() for name, structure in structures().items()}))
    return path


def make_entries(folder: Path) -> Path:
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    path = folder / "entries.json.gz"
    entries = [ComputedStructureEntry(one, -3.0, entry_id=name).as_dict() for name, one in structures().items()]
    path.write_bytes(gzip.compress(json.dumps(entries).encode()))
    return path


def make_lines(folder: Path) -> Path:
    path = folder / "set.jsonl"
    path.write_text("".join(json.dumps({"id": n, "structure": s.as_dict()}) + "\n" for n, s in structures().items()))
    return path


def make_xyz(folder: Path) -> Path:
    path = folder / "set.extxyz"
    path.write_text(xyz())
    return path


def make_zip_of_blocks(folder: Path) -> Path:
    path = folder / "blocks.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("all.cif.gz", gzip.compress(make_blocks(folder).read_bytes()))
        archive.writestr("__MACOSX/all.cif", "no crystal")
    return path
