"""Reading the CIFs that others wrote: one, a file of many, a folder, a zip."""

import itertools
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from miad.core.crystal import NUM_SPECIES
from miad.core.errors import MiadError
from miad.core.files import Unpacked, open_text

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.io.cif import CifBlock

Named = tuple[str | None, Callable[[], "Structure"]]  # id of a crystal, and its reader, or `refuse`

MAX_CIF = 1_000_000  # characters; 20 atoms take 2,000
MAX_FILE = 500_000_000  # bytes of one file, in a zip too
DATA_HEAD = re.compile(r"(?:^|(?<=\r))data_([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
ATOM_SITES = re.compile("_atom_site_", re.IGNORECASE)
MAX_ATOMS = 400  # before reduction; the search for the primitive cell takes seconds there, a minute at 1000
MAX_OPERATIONS = 2_000  # of symmetry; a space group has 192 in its conventional cell, eight times as many in 2 x 2 x 2
MAX_IMAGES = 100_000  # sites times operations, which pymatgen compares one by one in some seconds
PARTLY = "it has partly occupied sites; miad works on ordered crystals only"
SITE_TOLERANCE = 1e-4  # fractional; what lies closer is one site to pymatgen


def parse_cif(text: str) -> "Structure":
    """The crystal in a CIF text, in the cell that is written there.

    Raises:
        MiadError: empty, too large, unreadable, partly occupied, not finite, or with what is no element up to 99; the
            message is a reason that begins with "its" or "it"; the caller names the crystal.
    """
    from pymatgen.io.cif import CifParser

    if not text.strip():
        raise MiadError("its cif is empty")
    if len(text) > MAX_CIF:
        raise MiadError(f"its cif has {len(text):,} characters; more than {MAX_CIF:,} are refused unread")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one per rounded coordinate; what matters is an error
            # check_cif compares with the formula only to warn, and takes a third of the time.
            parser: Any = CifParser.from_str(text, check_cif=False, site_tolerance=SITE_TOLERANCE)
            for block in parser._cif.data.values():  # private; pymatgen 2026.10
                _check_size(parser, block)
            structure = parser.parse_structures(primitive=False)[0]
    except MiadError:
        raise
    except Exception as error:  # the parser raises whatever a broken text makes it trip over
        raise MiadError(f"its cif is unreadable ({type(error).__name__}: {str(error)[:200]})") from error
    check_structure(structure)
    if len(structure) > MAX_ATOMS:
        raise MiadError(f"it has {len(structure)} atoms; more than {MAX_ATOMS} are refused")
    return structure


def _check_size(parser: Any, block: "CifBlock") -> None:
    """Refuse a crystal of too many atoms; pymatgen takes minutes to find that out, a time quadratic in them."""
    from pymatgen.io.cif import str2float

    columns: Any = [block.data.get(f"_atom_site_fract_{axis}") for axis in "xyz"]
    num_sites = len(block.data.get("_atom_site_label", ()))
    if num_sites > MAX_ATOMS:
        raise MiadError(f"its cif lists {num_sites:,} sites; more than {MAX_ATOMS} are refused")
    listed = [value for key, value in block.data.items() if key.lower().rstrip("_").endswith("_xyz")]
    listed = [[value] if isinstance(value, str) else value for value in listed]
    num_listed = max(map(len, listed), default=0)
    if num_listed > MAX_OPERATIONS:
        raise MiadError(f"its cif lists {num_listed:,} symmetry operations; more than {MAX_OPERATIONS:,} are refused")
    # Most generated crystals come without symmetry; reading operations would take a tenth of the time for the crystal.
    is_plain = bool(listed) and all([text.replace(" ", "") for text in texts] == ["x,y,z"] for texts in listed)
    if is_plain or not num_sites or None in columns:  # pymatgen says what is missing
        return
    read = parser.get_magsymops if parser.feature_flags["magcif"] else parser.get_symops
    matrices = np.array([operation.affine_matrix for operation in read(block)])
    num_images = num_sites * len(matrices)
    if num_images <= MAX_ATOMS:
        return
    if num_images <= MAX_IMAGES:
        sites = np.array([[str2float(value) for value in column[:num_sites]] for column in columns]).T
        if not _makes_more(sites, matrices):
            return
    raise MiadError(
        f"its cif lists {num_sites} sites and {len(matrices)} symmetry operations, which make more than {MAX_ATOMS}"
        " atoms; they are refused"
    )


def _makes_more(sites: np.ndarray, matrices: np.ndarray) -> bool:
    """Whether sites (n_sites, 3) have more than MAX_ATOMS images by operations (n_operations, 4, 4), all fractional.

    Images are taken modulo 1; those closer than SITE_TOLERANCE are one.
    """
    found = np.empty((0, 3))
    for site in sites:
        for image in matrices[:, :3, :3] @ site + matrices[:, :3, 3]:
            distances = found - image
            if not (np.abs(distances - np.round(distances)) < SITE_TOLERANCE).all(axis=1).any():
                found = np.vstack([found, image])
        if len(found) > MAX_ATOMS:
            return True
    return False


def check_structure(structure: "Structure") -> None:
    """Refuse a structure that is no crystal of the elements that miad knows.

    Raises:
        MiadError: no atoms, partly occupied, not finite, or with what is no element up to 99; a reason as above.
    """
    from pymatgen.core import DummySpecies

    if not len(structure):
        raise MiadError("it has no atoms")
    if not structure.is_ordered:
        raise MiadError(PARTLY)
    if not (np.isfinite(structure.lattice.matrix).all() and np.isfinite(structure.frac_coords).all()):
        raise MiadError("its cell or its coordinates are not finite numbers")
    dummies = sorted({site.specie.symbol for site in structure if isinstance(site.specie, DummySpecies)})
    if dummies:
        raise MiadError(f"it contains {', '.join(dummies)}, which is not an element")
    heavy = sorted({site.specie.symbol for site in structure if site.specie.Z >= NUM_SPECIES})
    if heavy:
        raise MiadError(f"it contains {', '.join(heavy)}; miad knows the elements 1 to {NUM_SPECIES - 1}")


def in_file(path: Path) -> Iterator[Named]:
    """Every data block of a CIF file, plain or gzipped, is a crystal.

    CIF is ASCII: what is not UTF-8 stands in comments and in names of authors, and is no reason to refuse a crystal.

    Raises:
        MiadError: it does not exist, is absurdly large, or cannot be unpacked.
    """
    if path.is_file() and path.stat().st_size > MAX_FILE:
        raise MiadError(f"{path} has {path.stat().st_size:,} bytes; more than {MAX_FILE:,} are refused unread")
    try:
        with open_text(path) as text:
            text.reconfigure(errors="replace")
            content = text.read()
    except (OSError, EOFError, zlib.error) as error:
        raise MiadError(f"{path} cannot be read ({error}). Get it again, or remove it.") from error
    yield from _blocks(content, _stem(path.name))


def in_folder(path: Path) -> Iterator[Named]:
    """The CIFs of a folder and of the folders in it, in the order of their names; a broken one costs only itself."""
    for file in sorted(one for one in path.rglob("*") if _is_cif(one.relative_to(path)) and not one.is_dir()):
        try:
            yield from in_file(file)
        except MiadError as error:
            yield _stem(file.name), partial(refuse, str(error))


def _is_cif(path: PurePath) -> bool:
    """Whether a file is meant as a CIF; what macOS and Jupyter put beside the files is not."""
    is_hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.name.lower().endswith((".cif", ".cif.gz")) and not is_hidden


def in_zip(path: Path) -> Iterator[Named]:
    """The CIFs of a zip, in the order of their names; nothing is unpacked to disk."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise MiadError(f"{path} is not a zip file ({error}). Get it again, or give the folder.") from error
    with archive:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            place = PurePosixPath(info.filename)
            if _is_cif(place):
                try:
                    yield from _blocks(_unpacked(archive, info), _stem(place.name))
                except MiadError as error:
                    yield _stem(place.name), partial(refuse, str(error))


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    if info.file_size > MAX_FILE:
        raise MiadError(f"its file has {info.file_size:,} bytes; more than {MAX_FILE:,} are refused unread")
    try:
        packed = archive.read(info)
        if info.filename.lower().endswith(".gz"):
            with Unpacked(Path(info.filename), packed) as unpacked:
                packed = unpacked.read()
    except (OSError, EOFError, zipfile.BadZipFile, RuntimeError, zlib.error) as error:
        raise MiadError(f"its file cannot be unpacked ({error})") from error
    return packed.decode("utf-8", errors="replace")


def refuse(reason: str) -> "Structure":
    """Take the place of what reads a crystal that cannot be read."""
    raise MiadError(reason)


def _stem(name: str) -> str:
    return name.removesuffix(".gz").removesuffix(".cif")


def _blocks(content: str, stem: str) -> Iterator[Named]:
    """The data blocks of a CIF; the id is the name of the file, or of the block where there are several."""
    # No list of lines: a few bytes of a zip that unpack to nothing but short lines would fill the memory thirtyfold.
    heads = [(found.start(), found[1].strip()) for found in DATA_HEAD.finditer(content)]
    if len(heads) <= 1:
        yield stem, partial(parse_cif, content)
        return
    blocks = [(start, end, name) for (start, name), (end, _) in itertools.pairwise([*heads, (len(content), "")])]
    # A block of journal or data base (data_global) is no crystal that failed, where others hold the crystals.
    blocks = [block for block in blocks if ATOM_SITES.search(content, *block[:2])] or blocks
    for start, end, name in blocks:
        yield (name or None) if len(blocks) > 1 else stem, partial(parse_cif, content[start:end])
