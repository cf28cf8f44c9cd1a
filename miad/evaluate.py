"""S.U.N. of anybody's crystals: read, relax if need be, and judge them as our own samples are judged."""

import dataclasses
import json
import logging
import tempfile
from pathlib import Path
from typing import NamedTuple

import miad
from miad.config.resolve import read_sections
from miad.config.sections import Hull, Relax, Report, Sun
from miad.core.crystal import Crystal, write_crystals
from miad.core.energy_frames import FRAMES, must_match
from miad.core.errors import MiadError
from miad.core.files import checksum, is_out_of_space, open_text, write_text
from miad.core.sound import is_broken
from miad.hull.convex import HullTable, write_table
from miad.hull.sources import read_source
from miad.io.any_format import is_ours, name_of, read_any
from miad.preflight.checks import check_runs, frames_compared
from miad.relax import step as relax
from miad.report import candidates, sun_table
from miad.sun import step as sun

log = logging.getLogger("miad")


class Settings(NamedTuple):
    """The sections of config.yaml that an evaluation needs."""

    hull: Hull
    relax: Relax
    sun: Sun
    report: Report


def run(
    crystals: Path,
    *,
    train: Path,
    hull: str,
    out: Path,
    run: str | None = None,
    calculator: str = "chgnet",
    energy_frame: str | None = None,
    generated: Path | None = None,
    hull_frame: str | None = None,
    hull_references: str | None = None,
    protocols: str | None = None,
    settings: str | None = None,
    val: Path | None = None,
    test: Path | None = None,
) -> None:
    """Evaluate crystals of any origin: the table, the ledger and the candidates in one folder.

    Crystals that all carry energies are taken as relaxed; otherwise all are relaxed. What was relaxed before with the
    same settings, in the same folder, is not relaxed again: judging anew takes seconds.

    Args:
        crystals: extended XYZ, CIF, a folder or zip of CIFs, CSV with a cif column, pymatgen JSON or JSON lines,
            plain or gzipped
        train: crystals that count as known, in any of these formats
        hull: reference energies: a table of `miad hull`, CSV or JSON of entries, a URL, or mp-2023-02-07
        out: folder for the results
        run: name of the crystals in the table; the name of the file, if left out
        calculator: potential for the relaxation, as in relax.calculators
        energy_frame: mp2020 or uncorrected, of energies that the crystals carry without saying so
        generated: the same crystals before relaxation, for protocols that compare as-generated cells; those of them
            that are not among the relaxed ones count as attempted
        hull_frame: mp2020 or uncorrected, if the hull does not say so
        hull_references: JSON of elemental energies, if the hull has formation energies
        protocols: headline for one row of the table, all for one per protocol; as report.protocols if left out
        settings: config file (./config.yaml if left out), or JSON of its sections hull, relax, sun and report
        val: crystals of the validation split, for protocols that count them as known
        test: crystals of the test split, likewise

    Raises:
        MiadError: unreadable input, energies of another frame than the hull, no known calculator.
    """
    sections = _settings(settings, calculator, protocols)
    name = run or name_of(crystals)
    given, as_drawn = _inputs(crystals, generated, name, energy_frame)
    needs_relaxation = not is_relaxed(given)
    place = {"source": hull, "checksum": None, "energy_frame": hull_frame, "references": hull_references}
    table = _hull_table(dataclasses.replace(sections.hull, **place), sections if needs_relaxation else None)
    _make(out)
    write_table(out / "entries.csv.gz", table)
    splits = {"train": train, "val": val, "test": test}
    known = {split: _known(path, out, split) for split, path in splits.items() if path}
    write_crystals(out / "crystals.jsonl", as_drawn or given)
    if needs_relaxation:
        _relax(sections.relax, out, calculator)
    else:
        (out / "relaxed.json").unlink(missing_ok=True)  # it speaks of the file that is now replaced
        write_crystals(out / "relaxed.jsonl", given)
    _judge(sections, out, name, known, has_generated=bool(as_drawn), is_ours=needs_relaxation)


def is_relaxed(crystals: list[Crystal]) -> bool:
    """Whether all readable crystals carry energies, so that they need no relaxation."""
    readable = [one for one in crystals if not one.failure]
    known = sum(one.energy_per_atom is not None for one in readable)
    if 0 < known < len(readable):
        log.warning("%d of %d crystals carry energies; all are relaxed", known, len(readable))
    return known == len(readable) > 0


def _inputs(
    path: Path, generated: Path | None, name: str, energy_frame: str | None
) -> tuple[list[Crystal], list[Crystal] | None]:
    """The crystals to judge and, if given apart from them, the same ones as they were generated.

    Raises:
        MiadError: generated ones beside crystals that are to be relaxed, or that do not fit them.
    """
    given = _with_frame(read_any(path, name), energy_frame)
    if not generated:
        return given, None
    if not is_relaxed(given):
        raise MiadError(
            f"{path}: not all crystals carry energies, so that they would be relaxed, and --generated are what they"
            " were relaxed from. Give the energies, or leave --generated out."
        )
    return _with_generated(given, read_any(generated, f"{name}_generated"))


def _hull_table(place: Hull, settings: Settings | None) -> HullTable:
    """The hull, in the frame of the energies that the relaxation with these settings will give.

    Raises:
        MiadError: it cannot be read, or is in another frame.
    """
    table = read_source(place, [])
    for whose, frame in frames_compared(settings.sun, settings.relax).items() if settings else ():
        must_match(whose, frame, table.name, table.energy_frame)
    return table


def joined(generated: list[Crystal], relaxed: list[Crystal]) -> list[Crystal]:
    """As-generated crystals under the ids of the relaxed ones, told by the ids that the two inputs carry.

    Raises:
        MiadError: a relaxed crystal has no generated one of its id, or ids are absent or occur twice.
    """
    by_id = {one.source_id or one.crystal_id: one for one in generated}
    if len(by_id) < len(generated):
        raise MiadError("--generated: an id occurs twice, so that the crystals cannot be joined. Make the ids unique.")
    absent = [one for one in relaxed if (one.source_id or one.crystal_id) not in by_id]
    if absent:
        raise MiadError(
            f"{absent[0].source_id or absent[0].crystal_id} has no crystal of the same id in --generated. Write an id"
            " (crystal_id, material_id, id, or the file name of a CIF) into both inputs; rows are not joined by order."
        )
    return [by_id[one.source_id or one.crystal_id].replace(crystal_id=one.crystal_id) for one in relaxed]


def _with_generated(relaxed: list[Crystal], generated: list[Crystal]) -> tuple[list[Crystal], list[Crystal]]:
    """Relaxed and as-generated crystals, joined; what was generated only was attempted too, and counts as failed."""
    kept = {one.source_id or one.crystal_id for one in relaxed}
    lost = [one for one in generated if (one.source_id or one.crystal_id) not in kept]
    reason = "it is among the generated crystals, but not among the relaxed ones"
    if lost:
        example = lost[0].source_id or lost[0].crystal_id
        log.warning(
            "%s and %d others are not among the relaxed crystals; they count as attempted", example, len(lost) - 1
        )
    return relaxed + [one.failed("relax", reason) for one in lost], joined(generated, relaxed) + lost


def _relax(settings: Relax, out: Path, calculator: str) -> None:
    """Relax the crystals of the folder, unless it holds them relaxed with the same settings."""
    key = {"crystals": checksum(out / "crystals.jsonl", "sha256"), **dataclasses.asdict(settings)}
    text = json.dumps({name: value for name, value in key.items() if name not in ("workers", "device")}, indent=1)
    done = out / "relaxed.json"
    if done.is_file() and (out / "relaxed.jsonl").is_file() and done.read_text(encoding="utf-8") == text:
        log.info("%s holds these crystals, relaxed with these settings", out)
        return
    done.unlink(missing_ok=True)
    relax.run(settings, crystals=out / "crystals.jsonl", relaxed=out / "relaxed.jsonl", calculator=calculator)
    write_text(done, text)


def _make(folder: Path) -> None:
    """Make the folder of the results before hours are spent on them.

    Raises:
        MiadError: it cannot be made, or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if is_out_of_space(error):
            raise
        raise MiadError(f"--out {folder} cannot be written to ({error}). Give a folder of your own.") from error


def _judge(
    settings: Settings, out: Path, name: str, known: dict[str, Path], *, has_generated: bool, is_ours: bool
) -> None:
    """Ledger, verdicts, candidates and table; `is_ours` if the crystals were relaxed here."""
    sun.run(
        settings.sun,
        relaxed=[out / "relaxed.jsonl"],
        generated=[out / "crystals.jsonl"] if has_generated or is_ours else None,
        relaxation=settings.relax if is_ours else None,
        **known,
        hull=out / "entries.csv.gz",
        ledger=out / "ledger.jsonl",
        verdicts=out / "verdicts.jsonl",
        row=out / "row.json",
        run=name,
    )
    candidates.run(
        ledgers=[out / "ledger.jsonl"],
        verdicts=[out / "verdicts.jsonl"],
        rows=[out / "row.json"],
        candidates=out / "candidates.csv",
        cif=out / "cif",
        ledger_csv=out / "ledger.csv",
        ledger_parquet=out / "ledger.parquet",
    )
    sun_table.run(settings.report, rows=[out / "row.json"], table=out / "sun_table.csv", readable=out / "sun_table.md")


def _with_frame(crystals: list[Crystal], frame: str | None) -> list[Crystal]:
    """Crystals whose energies have a frame.

    Raises:
        MiadError: an energy without a frame, or a flag that contradicts the file.
    """
    if frame not in (None, *FRAMES):
        raise MiadError(f"--energy-frame is '{frame}'; use {' or '.join(FRAMES)}.")
    framed = []
    for one in crystals:
        if one.energy_per_atom is None:
            framed.append(one)
            continue
        if one.energy_frame and frame and one.energy_frame != frame:
            raise MiadError(f"{one.crystal_id} states the energy frame '{one.energy_frame}', --energy-frame '{frame}'.")
        if not (one.energy_frame or frame):
            raise MiadError(
                f"{one.crystal_id} has an energy without its frame. Give --energy-frame {' or '.join(FRAMES)}."
            )
        framed.append(one.replace(energy_frame=one.energy_frame or frame, calculator=one.calculator or "as given"))
    return framed


def _known(path: Path, out: Path, split: str) -> Path:
    """The known crystals as JSON lines; ours are used where they are, with what was reduced of them before."""
    if split != "train" and _is_empty(path):
        return path  # Alex-MP-20, for one, has no test split
    name = "known" if split == "train" else f"known_{split}"
    copy, source = out / f"{name}.jsonl.gz", out / f"{name}.json"
    content = path.is_file() and json.dumps({"sha256": checksum(path, "sha256"), "miad": miad.__version__})
    if content and copy.is_file() and source.is_file() and source.read_text(encoding="utf-8") == content:
        return copy  # MP-20's CIFs take minutes
    crystals = read_any(path, name)
    failed = [one for one in crystals if is_broken(one)]
    if failed:
        log.warning(
            "%s: %d of %d crystals failed and do not count as known, e.g. %s: %s",
            path,
            len(failed),
            len(crystals),
            failed[0].source_id or failed[0].crystal_id,
            failed[0].failure,
        )
    if is_ours(path):
        return path
    source.unlink(missing_ok=True)
    write_crystals(copy, [one for one in crystals if not is_broken(one)])
    if content:
        write_text(source, content)
    return copy


def _is_empty(path: Path) -> bool:
    """Whether a file, packed or not, has no text at all."""
    if not path.is_file():
        return False
    with open_text(path) as text:
        return not text.read(1)


def _settings(config: str | None, calculator: str, protocols: str | None) -> Settings:
    """Thresholds and settings of the relaxation, from a config file or JSON of sections.

    Raises:
        MiadError: neither of the two, errors in it, or no such choice of protocols.
    """
    if protocols not in (None, "headline", "all"):
        raise MiadError(f"--protocols is '{protocols}'; use headline or all. What they are is in config.yaml: sun.")
    if not (config and config.lstrip().startswith("{")):
        shipped = Path(miad.__file__).with_name("config.yaml")
        places = [Path(config)] if config else [Path("config.yaml"), shipped]
        config = next((str(place) for place in places if place.is_file()), None)
        if config is None:
            raise MiadError(f"{places[0]} does not exist. Give --settings with the path of a config.yaml of miad.")
    hull, relaxation, judging, table = read_sections(config, (Hull, Relax, Sun, Report), check_runs)
    relaxation = dataclasses.replace(relaxation, calculators=[calculator])
    return Settings(hull, relaxation, judging, dataclasses.replace(table, protocols=protocols or table.protocols))
