"""S.U.N. of anybody's crystals, by the steps of the workflow: hull, read, relax, sun, candidates and table.

In Python, `miad.evaluate(structures, known=…, hull=…)`: see `miad.api.evaluate`.
"""

import dataclasses
import functools
import hashlib
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import miad
from miad.config.resolve import default_config, read_sections
from miad.config.sections import Hull, Relax, Report, Sun, from_record
from miad.core.callable_module import make_callable
from miad.core.crystal import Crystal, carry_energies, read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.core.files import checksum, is_out_of_space, open_text, write_text
from miad.core.json_text import as_json
from miad.core.redact import redacted
from miad.core.sound import is_broken
from miad.core.unreadable import Tally, of_crystals, tally
from miad.hull.convex import ConvexHull, HullTable, write_table
from miad.hull.sources import read_source
from miad.io.any_format import is_ours, name_of, read_any
from miad.machine.owners import locked
from miad.preflight.checks import check_out, check_runs, frames_compared
from miad.relax import step as relax
from miad.report import candidates, sun_table
from miad.sample import read
from miad.sun import step as sun

make_callable(__name__)
log = logging.getLogger("miad")
IN_USE = ".in_use"  # in the folder of the results: locked while one command writes there
MARKS = ("row.json", ".evaluation")  # one is there once an evaluation has begun to write
# What is written there, but for the copies of known crystals.
WRITES = [f"{name}.jsonl" for name in ("crystals", "given", "relaxed", "ledger", "verdicts")]
WRITES += ["row.json", "sun_table.csv", "sun_table.md", "candidates.csv", "cif", "ledger.csv", "ledger.parquet"]
WRITES += ["entries.csv.gz"]


@dataclass(frozen=True)
class Options:
    """Evaluate crystals of any origin: the table, the ledger and the candidates in one folder.

    Crystals that all carry energies are taken as relaxed; otherwise all are relaxed. What was relaxed before with the
    same settings, in the same folder, is not relaxed again: judging anew takes seconds.

    Args:
        crystals: extended XYZ, CIF, a folder or zip of CIFs, CSV or Parquet with a column of crystals, JSON of
            pymatgen, pandas or OPTIMADE, JSON lines; plain or gzipped
        train: crystals that count as known, in any of these formats
        hull: reference energies: a table of `miad hull`, CSV or JSON of entries, a URL, mp-2023-02-07
            or, for that of the built-in set, prototypes
        out: folder for the results
        run: name of the crystals in the table; the name of the file, if left out
        calculator: potential for the relaxation, as in relax.calculators
        energy_frame: mp2020 or uncorrected, of energies that the crystals carry without saying so
        generated: the same crystals before relaxation, for protocols that compare as-generated cells; those of them
            that are not among the relaxed ones count as attempted
        hull_frame: mp2020 or uncorrected, if the hull does not say so
        hull_references: JSON of elemental energies, if the hull has formation energies
        hull_functional: run_type of the hull's entries that count, if it has several, e.g. GGA or R2SCAN
        max_unreadable: share of the known crystals, and of the hull's entries, that may be unreadable; as
            unreadable.max_share if left out
        protocols: headline for one row of the table, all for one per protocol; as report.protocols if left out
        settings: config file (./config.yaml if left out), or JSON of some keys of its sections hull, relax, sun and
            report
        val: crystals of the validation split, for protocols that count them as known
        test: crystals of the test split, likewise
        column: of a table of crystals, the column that holds them; cif, structure, LeMatStructs or cif_string, if left
            out
    """

    crystals: Path
    _: dataclasses.KW_ONLY
    train: Path
    hull: str
    out: Path
    run: str | None = None
    calculator: str = "chgnet"
    energy_frame: str | None = None
    generated: Path | None = None
    hull_frame: str | None = None
    hull_references: str | None = None
    hull_functional: str | None = None
    max_unreadable: float | None = None
    protocols: str | None = None
    settings: str | None = None
    val: Path | None = None
    test: Path | None = None
    column: str | None = None

    @property
    def name(self) -> str:
        """Name of the crystals in the table."""
        return self.run or name_of(self.crystals)


@dataclass(frozen=True)
class Settings:
    """The sections of the settings that an evaluation reads, with what its options say otherwise."""

    hull: Hull
    relax: Relax
    sun: Sun
    report: Report


@functools.wraps(Options, updated=())
def run(crystals: Path, **options: Any) -> None:
    """Evaluate crystals; the arguments are the fields of `Options`, whose words the command line shows.

    What can be refused is refused before anything is relaxed; what was computed is written before the next step begins.

    Raises:
        MiadError: no readable sample, too few readable known crystals or entries of the hull, energies of another frame
            than the hull, no known calculator, another evaluation at work in the folder.
    """
    given = Options(crystals, **options)
    settings = _settings(given)
    table = read_source(settings.hull, [])
    make_folder(given.out)
    inputs = [one for one in (given.crystals, given.generated, given.train, given.val, given.test) if one]
    check_out(given.out, inputs, WRITES, MARKS, by="no evaluation has written")
    with locked(given.out / IN_USE, what=f"--out {given.out}", remedy="Wait for it, or give another --out."):
        write_text(given.out / MARKS[1], "")
        _evaluate(given, settings, table)


def _evaluate(given: Options, settings: Settings, table: HullTable) -> None:
    """All steps in the folder of the results."""
    write_table(given.out / "entries.csv.gz", table)
    _read(given, settings)
    splits = {"train": given.train, "val": given.val, "test": given.test}
    bound = settings.hull.dataset.bound.max_share
    tallies = []
    known = {}
    for split, path in splits.items():
        if path:
            known[split], found = _known(path, given.out, split, bound)
            tallies.append(found)
    _check_headline(given, settings, table, set(known))
    relax_once(settings.relax, given.out, given.calculator)
    _judge(given, settings, known)
    ledger = read_crystals(given.out / "ledger.jsonl")
    tallies += [of_crystals(given.crystals, ledger, read.ATTEMPTED), _without_height(given.hull, ledger)]
    for line in (*table.notes, *(one for one in tallies if one.kinds)):
        log.warning("%s", line)
    log.info("results are in %s: sun_table.md, ledger.csv, candidates.csv, cif/", given.out)


def _read(given: Options, settings: Settings) -> None:
    """The read step: the crystals as they are relaxed, and as generated."""
    read.run(
        given.crystals,
        crystals=given.out / "crystals.jsonl",
        given=given.out / "given.jsonl",
        run=given.name,
        generated=given.generated,
        energy_frame=given.energy_frame,
        column=given.column,
        hull=given.out / "entries.csv.gz",
        calculator=given.calculator,
        relaxed_frame=frames_compared(settings.sun, settings.relax).get(given.calculator),
    )


def _check_headline(given: Options, settings: Settings, table: HullTable, splits: set[str]) -> None:
    """Refuse, before anything is relaxed, what the headline protocol lacks."""
    crystals, before = (read_crystals(given.out / name) for name in ("given.jsonl", "crystals.jsonl"))
    headline = {settings.sun.protocol: settings.sun.protocols[settings.sun.protocol]}
    only = dataclasses.replace(settings.sun, protocols=headline)
    is_generated_known = bool(given.generated) or not carry_energies(before)
    sun.applicable(only, crystals, ConvexHull(table), is_generated_known, splits)


def _judge(given: Options, settings: Settings, known: dict[str, Path]) -> None:
    """The steps after the relaxation; the table first, because it is what is cited."""
    out = given.out
    sun.run(
        settings.sun,
        relaxed=[out / "relaxed.jsonl"],
        generated=[out / "crystals.jsonl"],
        relaxation=None if given.generated else settings.relax,
        made_by=None,  # nothing is known of how they were made
        **known,
        hull=out / "entries.csv.gz",
        ledger=out / "ledger.jsonl",
        verdicts=out / "verdicts.jsonl",
        row=out / "row.json",
        run=given.name,
    )
    sun_table.run(settings.report, rows=[out / "row.json"], table=out / "sun_table.csv", readable=out / "sun_table.md")
    candidates.run(
        ledgers=[out / "ledger.jsonl"],
        verdicts=[out / "verdicts.jsonl"],
        rows=[out / "row.json"],
        candidates=out / "candidates.csv",
        cif=out / "cif",
        ledger_csv=out / "ledger.csv",
        ledger_parquet=out / "ledger.parquet",
    )


def _without_height(hull: str, ledger: list[Crystal]) -> Tally:
    """The tally of crystals that are not broken, but have elements that the hull lacks."""
    lost = [
        (one.source_id or one.crystal_id, one.failure.reason) for one in ledger if one.failure and not is_broken(one)
    ]
    return tally(hull, "crystals", "count as neither stable nor metastable", lost, len(ledger))


def relax_once(settings: Relax, out: Path, calculator: str) -> None:
    """Relax the crystals of the folder, unless it holds them relaxed with the same settings."""
    key = {"crystals": checksum(out / "given.jsonl", "sha256"), **dataclasses.asdict(settings)}
    used = {name: value for name, value in key.items() if name not in ("workers", "device")}
    if redacted(used) != used:  # people hand the folder on
        digest = hashlib.sha256(as_json(used).encode()).hexdigest()
        used = {**redacted(used), "settings_sha256": digest}
    text = as_json(used, indent=1)
    done = out / "relaxed.json"
    if done.is_file() and (out / "relaxed.jsonl").is_file() and done.read_text(encoding="utf-8") == text:
        log.info("%s holds these crystals, relaxed with these settings", out)
        return
    done.unlink(missing_ok=True)
    relax.run(settings, crystals=out / "given.jsonl", relaxed=out / "relaxed.jsonl", calculator=calculator)
    write_text(done, text)


def make_folder(folder: Path) -> None:
    """Make the folder of the results, and see that it can be written to, before hours are spent on them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if is_out_of_space(error):
            raise
        raise MiadError(f"--out {folder} cannot be written to ({error}). Give a folder of your own.") from error


def _known(path: Path, out: Path, split: str, max_share: float) -> tuple[Path, Tally]:
    """The known crystals as JSON lines, and their tally: ours where they are, with what was reduced before, or a copy.

    Those that cannot be read stay in the copy, as failed lines, so that the sun step can tell them.
    A copy is made again when the file, or the version of miad, has changed: MP-20's CIFs take minutes.
    """
    if split != "train" and _is_empty(path):
        return path, of_crystals(path, [], sun.NOT_KNOWN)  # Alex-MP-20, for one, has no test split
    name = "known" if split == "train" else f"known_{split}"
    copy, source = out / f"{name}.jsonl.gz", out / f"{name}.json"
    made_of = {"sha256": checksum(path, "sha256"), "miad": miad.__version__, "all": True} if path.is_file() else None
    content = made_of and as_json(made_of)
    is_copied = content and copy.is_file() and source.is_file() and source.read_text(encoding="utf-8") == content
    crystals = read_crystals(copy) if is_copied else read_any(path, name)
    found = of_crystals(path, crystals, sun.NOT_KNOWN)
    found.check(max_share, f"Correct --{split}.")
    if is_copied or is_ours(path):
        return (copy if is_copied else path), found
    source.unlink(missing_ok=True)
    write_crystals(copy, crystals)
    if content:
        write_text(source, content)
    return copy, found


def _is_empty(path: Path) -> bool:
    """Whether a file, packed or not, has no text at all."""
    if not path.is_file():
        return False
    with open_text(path) as text:
        return not text.read(1)


def _settings(given: Options) -> Settings:
    """Thresholds and settings of the relaxation, from a config file or JSON, changed by the options."""
    if given.protocols not in (None, "headline", "all"):
        raise MiadError(f"--protocols is '{given.protocols}'; use headline or all, see config.yaml: sun.")
    config = given.settings or default_config()
    if not config.lstrip().startswith("{") and not Path(config).is_file():
        raise MiadError(f"{config} does not exist. Give --settings with the path of a config.yaml of miad.")
    place, relaxation, judging, report = read_sections(config, (Hull, Relax, Sun, Report), check_runs)
    hull = dataclasses.asdict(place) | {"source": given.hull, "checksum": None}
    hull |= {"energy_frame": given.hull_frame, "references": given.hull_references}
    hull["functional"] = given.hull_functional or place.functional
    if given.max_unreadable is not None:
        hull["dataset"]["bound"] = {"max_share": given.max_unreadable}
    place = from_record(Hull, hull)
    return Settings(
        hull=place,
        relax=dataclasses.replace(relaxation, calculators=[given.calculator]),
        sun=dataclasses.replace(judging, hull=dataclasses.replace(judging.hull, dataset=place.dataset)),
        report=dataclasses.replace(report, protocols=given.protocols or report.protocols),
    )
