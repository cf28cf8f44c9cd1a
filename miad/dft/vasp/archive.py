"""The archive of a finished calculation: inputs and outputs of all stages, and notes."""

import io
import json
import logging
import shutil
import tarfile
from pathlib import Path
from typing import Any

from miad.core.files import DAMAGED, atomic_path
from miad.core.json_text import as_json
from miad.dft.vasp.attempts import all_attempts
from miad.dft.vasp.ending import custodian_errors
from miad.dft.vasp.hours import core_hours

log = logging.getLogger("miad")
NOTES = ("corrections.json", "core_hours.json")  # in an archive


def pack(work: Path, archive: Path, static: dict[str, Any], keep_wavefunctions: bool) -> None:
    """Move a finished calculation into its archive: inputs and outputs of all stages.

    Pseudopotentials, which are licensed, stay out; their titles and hashes are in POTCAR.spec.json.
    """
    dropped = ("POTCAR", "scratch_link") if keep_wavefunctions else ("POTCAR", "scratch_link", "WAVECAR", "CHG")

    def chosen(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if Path(member.name).name.startswith(dropped) else member

    spec = static["calcs_reversed"][0]["input"]["potcar_spec"]
    records = {**dict(zip(NOTES, (corrections(work), core_hours(work)), strict=True)), "POTCAR.spec.json": spec}
    with atomic_path(archive) as temporary, tarfile.open(temporary, "w:gz", compresslevel=1) as file:
        for path in sorted(work.iterdir()):
            if path.is_dir():
                file.add(path, arcname=f"{work.name}/{path.name}", filter=chosen)
        for name, record in records.items():
            member, content = tarfile.TarInfo(f"{work.name}/{name}"), as_json(record).encode()
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    # Renamed first: a folder that is half removed by a kill must not be packed once more.
    shutil.rmtree(work.rename(work.with_name(f".done-{work.name}")))


def notes(archive: Path) -> dict[str, Any]:
    """Corrections and core-hours, as noted when an archive was packed; empty if there is no archive."""
    found: dict[str, Any] = {}
    if not archive.is_file():
        return found
    try:
        with tarfile.open(archive) as file:
            for member in file:
                name = Path(member.name).name
                if name in NOTES and (content := file.extractfile(member)) is not None:
                    found[name.removesuffix(".json")] = json.load(content)
    except (*DAMAGED, ValueError) as error:
        log.warning("%s cannot be read (%s): corrections and core-hours of the calculation are unknown", archive, error)
    return found


def corrections(work: Path) -> list[str]:
    """Errors that custodian found in all attempts at all stages, `stage: error`, in order."""
    return [f"{stage}: {error}" for stage, attempt in all_attempts(work) for error in custodian_errors(attempt)]
