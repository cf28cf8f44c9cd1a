"""Finding the texts of CIFs: in a file of one or many, in a folder, in a zip."""

import itertools
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING

from miad.core.errors import MiadError
from miad.core.files import Unpacked, open_text
from miad.io.cif import MAX_CIF, parse_cif, refuse, too_large

if TYPE_CHECKING:
    from pymatgen.core import Structure

Named = tuple[str | None, Callable[[], "Structure"]]  # id of a crystal, and its reader, or `refuse`

MAX_FILE = 500_000_000  # bytes of one file, in a zip too
MAX_FILES = 1_000_000  # of a zip
# A text field runs from one line that begins with ; to the next; what looks like a head in it is text.
FIELD_OR_HEAD = re.compile(r"^;(?s:.*?)^;|^[ \t\ufeff]*data_([^\n]*)", re.IGNORECASE | re.MULTILINE)
ATOM_SITES = re.compile(r"_atom_site[._]", re.IGNORECASE)


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
        infos = sorted(archive.infolist(), key=lambda info: info.filename)
        if len(infos) > MAX_FILES:
            raise MiadError(
                f"{path} holds {len(infos):,} files; more than {MAX_FILES:,} are refused unread. Divide it."
            )
        left = Unpacked.limit(path.stat().st_size)
        for info in infos:
            place = PurePosixPath(info.filename)
            if not _is_cif(place):
                continue
            try:
                content = _unpacked(archive, info)
            except MiadError as error:
                left -= min(info.file_size, MAX_FILE)
                yield _stem(place.name), partial(refuse, str(error))
                continue
            left -= max(info.file_size, len(content))
            if left < 0:
                raise MiadError(f"{path} unpacks to more than {Unpacked.RATIO} times its size. Refused: no CIFs do.")
            yield from _blocks(content, _stem(place.name))


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


def _stem(name: str) -> str:
    return name.removesuffix(".gz").removesuffix(".cif")


def _blocks(content: str, stem: str) -> Iterator[Named]:
    """The data blocks of a CIF; the id is the name of the file, or of the block where there are several.

    The text is cut here and not by gemmi, so that a broken block costs only itself.
    """
    if "\r" in content:
        content = content.replace("\r\n", "\n").replace("\r", "\n")
    # No list of lines: a few bytes of a zip that unpack to nothing but short lines would fill the memory thirtyfold.
    found = (one for one in FIELD_OR_HEAD.finditer(content) if one[1] is not None)
    heads = [(one.start(), one[1].strip()) for one in found]
    if len(heads) <= 1:
        yield stem, _reader(content)
        return
    blocks = [(start, end, name) for (start, name), (end, _) in itertools.pairwise([*heads, (len(content), "")])]
    # A block of journal or data base (data_global) is no crystal that failed, where others hold the crystals.
    blocks = [block for block in blocks if ATOM_SITES.search(content, *block[:2])] or blocks
    for start, end, name in blocks:
        yield (name or None) if len(blocks) > 1 else stem, _reader(content[start:end])


def _reader(text: str) -> Callable[[], "Structure"]:
    """What reads a text; one that is refused for its size is not kept until then."""
    return partial(parse_cif, text) if len(text) <= MAX_CIF else partial(refuse, too_large(text))
