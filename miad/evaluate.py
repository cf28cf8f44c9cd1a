"""S.U.N. of anybody's crystals, by the steps of the workflow: hull, read, relax, sun, candidates and table."""

import dataclasses
import hashlib
import json
import logging
import tempfile
from pathlib import Path

import miad
from miad.config.resolve import read_sections
from miad.config.sections import Hull, Relax, Report, Sun, from_record
from miad.core.crystal import write_crystals
from miad.core.errors import MiadError
from miad.core.files import checksum, is_out_of_space, open_text, write_text
from miad.core.redact import redacted
from miad.core.sound import is_broken
from miad.hull.convex import write_table
from miad.hull.sources import read_source
from miad.io.any_format import is_ours, name_of, read_any
from miad.machine.owners import locked
from miad.preflight.checks import check_runs, frames_compared
from miad.relax import step as relax
from miad.report import candidates, sun_table
from miad.sample import read
from miad.sun import step as sun

log = logging.getLogger("miad")
IN_USE = ".in_use"  # in the folder of the results: locked while one evaluation writes there


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
        MiadError: no readable sample or known crystal, energies of another frame than the hull, no known calculator,
            another evaluation at work in the folder.
    """
    place, relaxation, judging, report = _settings(settings, calculator, protocols)
    name = run or name_of(crystals)
    source = {"source": hull, "checksum": None, "energy_frame": hull_frame, "references": hull_references}
    table = read_source(from_record(Hull, {**dataclasses.asdict(place), **source}), [])
    _make(out)
    with locked(out / IN_USE, what=f"--out {out}", remedy="Wait for it, or give another --out."):
        write_table(out / "entries.csv.gz", table)
        read.run(
            crystals,
            crystals=out / "crystals.jsonl",
            given=out / "given.jsonl",
            run=name,
            generated=generated,
            energy_frame=energy_frame,
            hull=out / "entries.csv.gz",
            calculator=calculator,
            relaxed_frame=frames_compared(judging, relaxation).get(calculator),
        )
        splits = {"train": train, "val": val, "test": test}
        known = {split: _known(path, out, split) for split, path in splits.items() if path}
        _relax(relaxation, out, calculator)
        sun.run(
            judging,
            relaxed=[out / "relaxed.jsonl"],
            generated=[out / "crystals.jsonl"],
            relaxation=None if generated else relaxation,
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
        sun_table.run(report, rows=[out / "row.json"], table=out / "sun_table.csv", readable=out / "sun_table.md")
        log.info("results are in %s: sun_table.md, ledger.csv, candidates.csv, cif/", out)


def _relax(settings: Relax, out: Path, calculator: str) -> None:
    """Relax the crystals of the folder, unless it holds them relaxed with the same settings."""
    key = {"crystals": checksum(out / "given.jsonl", "sha256"), **dataclasses.asdict(settings)}
    used = {name: value for name, value in key.items() if name not in ("workers", "device")}
    if redacted(used) != used:  # people hand the folder on
        digest = hashlib.sha256(json.dumps(used).encode()).hexdigest()
        used = {**redacted(used), "settings_sha256": digest}
    text = json.dumps(used, indent=1)
    done = out / "relaxed.json"
    if done.is_file() and (out / "relaxed.jsonl").is_file() and done.read_text(encoding="utf-8") == text:
        log.info("%s holds these crystals, relaxed with these settings", out)
        return
    done.unlink(missing_ok=True)
    relax.run(settings, crystals=out / "given.jsonl", relaxed=out / "relaxed.jsonl", calculator=calculator)
    write_text(done, text)


def _make(folder: Path) -> None:
    """Make the folder of the results, and see that it can be written to, before hours are spent on them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if is_out_of_space(error):
            raise
        raise MiadError(f"--out {folder} cannot be written to ({error}). Give a folder of your own.") from error


def _known(path: Path, out: Path, split: str) -> Path:
    """The known crystals as JSON lines: ours where they are, beside what was reduced of them before, others as a copy.

    A copy is made again when the file, or the version of miad, has changed: MP-20's CIFs take minutes.
    """
    if split != "train" and _is_empty(path):
        return path  # Alex-MP-20, for one, has no test split
    name = "known" if split == "train" else f"known_{split}"
    copy, source = out / f"{name}.jsonl.gz", out / f"{name}.json"
    content = path.is_file() and json.dumps({"sha256": checksum(path, "sha256"), "miad": miad.__version__})
    if content and copy.is_file() and source.is_file() and source.read_text(encoding="utf-8") == content:
        return copy
    crystals = read_any(path, name)
    failed = [one for one in crystals if is_broken(one)]
    if failed:
        example = f"{failed[0].source_id or failed[0].crystal_id}: {failed[0].failure}"
        counts = f"{len(failed)} of {len(crystals)}"
        if len(failed) == len(crystals):
            raise MiadError(
                f"{path}: none of its {len(failed)} crystals can be read, e.g. {example}. Correct --{split}."
            )
        log.warning("%s: %s crystals failed and do not count as known, e.g. %s", path, counts, example)
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


def _settings(config: str | None, calculator: str, protocols: str | None) -> tuple[Hull, Relax, Sun, Report]:
    """Thresholds and settings of the relaxation, from a config file or JSON of sections."""
    if protocols not in (None, "headline", "all"):
        raise MiadError(f"--protocols is '{protocols}'; use headline or all. What they are is in config.yaml: sun.")
    if not (config and config.lstrip().startswith("{")):
        shipped = Path(miad.__file__).with_name("config.yaml")
        places = [Path(config)] if config else [Path("config.yaml"), shipped]
        config = next((str(place) for place in places if place.is_file()), None)
        if config is None:
            raise MiadError(f"{places[0]} does not exist. Give --settings with the path of a config.yaml of miad.")
    place, relaxation, judging, report = read_sections(config, (Hull, Relax, Sun, Report), check_runs)
    report = dataclasses.replace(report, protocols=protocols or report.protocols)
    return place, dataclasses.replace(relaxation, calculators=[calculator]), judging, report
