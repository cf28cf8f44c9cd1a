"""Crystals on demand, by the steps of the workflow: sample and, if wanted, relax and hull."""

import contextlib
import dataclasses
import filecmp
import functools
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miad.config.resolve import default_config, read_sections
from miad.config.sections import Constraints, Hull, Relax, Sample, from_record
from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.energy_frames import must_match
from miad.core.errors import MiadError
from miad.core.files import atomic_folder, checksum, file_name, write_text
from miad.core.json_text import as_json
from miad.core.provenance import versions
from miad.core.sound import is_decoded
from miad.core.tabular import write_csv
from miad.core.unreadable import of_crystals
from miad.evaluate import IN_USE, make_folder, relax_once
from miad.hull.convex import ConvexHull, HullPoint, energy_above
from miad.hull.sources import read_source
from miad.machine.owners import locked
from miad.model.shipped import DEFAULT, located
from miad.preflight.checks import check_out, check_runs
from miad.relax.potentials.register import check, potential
from miad.report.candidates import mixture, space_group, to_cif
from miad.report.export import to_atoms, write_extxyz
from miad.sample import step as sample
from miad.sample.formula import DIGITS
from miad.sun.step import heights

log = logging.getLogger("miad")
RECORD = "generated.json"  # written before what it tells of: with it, a folder is one of this command
SAMPLED = ".sampled.jsonl"  # samples of which the record does not tell yet
MOST = 1_000_000  # crystals of one command: the ids, the crystals and the table are held in memory
FORMATS = ("cif", "extxyz", "poscar")
WRITES = ["given.jsonl", "relaxed.jsonl", "crystals.jsonl", "crystals.csv", "crystals.extxyz", "cif", "poscar"]
COLUMNS: tuple[str, ...] = ("crystal_id", "reduced_formula", "chemical_system", "num_atoms", "space_group", "density")
COLUMNS += ("volume_per_atom", "energy_per_atom", "e_above_hull", "decomposition", "num_rivals")
COLUMNS += ("converged", "calculator", "failure")


@dataclass(frozen=True)
class Options:
    """Generate crystals with a trained model: CIFs, one extended XYZ and a table in one folder.

    Args:
        out: folder for the crystals
        model: name of a model that ships with miad (`miad models` lists them), or a file of `miad train`
        num: number of crystals
        elements: all elements that may occur, symbols or groups such as halogens, e.g. Li,P,S,O
        never: elements that do not occur, e.g. radioactive,Tl
        must: elements that every crystal holds, e.g. Li
        systems: chemical systems that the crystals are shared out over, e.g. Li-P-S,Na-Cl
        subsystems: let crystals of --systems lack elements of their system
        compositions: formulas that the crystals are shared out over, e.g. NaCl,Li3PS4: their structures are predicted
        formula_units: of --compositions: numbers of formula units in a cell, e.g. 1,2,4
        num_atoms: number of atoms in a cell, e.g. 6 or 4-8
        template: structure file of which a part is generated anew; the rest is kept
        free: sites of the template, from 0, that are generated anew, e.g. 0,3
        free_cell: generate the cell of the template anew too
        relax: relax the crystals
        calculator: potential for the relaxation, as in relax.calculators
        hull: reference energies, for which the crystals are relaxed: a table of `miad hull`, CSV or JSON of entries, a
            URL, mp-2023-02-07 or, for that of the built-in set, prototypes
        hull_frame: mp2020 or uncorrected, if the hull does not say so
        seed: of the random numbers; the same one gives the same crystals on like machines
        format: files of the crystals that are wanted, of cif, extxyz and poscar
        settings: config file (./config.yaml if left out), or JSON of some keys of its sections sample, relax and hull,
            e.g. '{"sample": {"stride": 20}}'; without flags for constraints those of sample.constraints hold
    """

    _: dataclasses.KW_ONLY
    out: Path = Path("crystals")
    model: str = DEFAULT
    num: int = 20
    elements: str | None = None
    never: str | None = None
    must: str | None = None
    systems: str | None = None
    subsystems: bool = False
    compositions: str | None = None
    formula_units: str = "1"
    num_atoms: str | None = None
    template: Path | None = None
    free: str | None = None
    free_cell: bool = False
    relax: bool = False
    calculator: str = "chgnet"
    hull: str | None = None
    hull_frame: str | None = None
    seed: int = 0
    format: str = "cif,extxyz"
    settings: str | None = None

    @property
    def is_relaxing(self) -> bool:
        """Whether the crystals are to be relaxed; a hull needs their energies."""
        return self.relax or self.hull is not None


def run(**options: Any) -> None:
    """Generate crystals; the arguments are the fields of `Options`, whose words the command line shows.

    What can be refused is refused before anything is generated.

    Raises:
        MiadError: no such model, constraints that contradict each other or the model, a hull that cannot be read or has
            energies of another frame, a folder with files that miad has not written.
    """
    given = Options(**options)
    formats = _formats(given.format)
    base, relaxation, place = read_sections(given.settings or default_config(), (Sample, Relax, Hull), check_runs)
    with _flags_named(given):
        chosen = constraints(given)
    chosen = base.constraints if chosen == Constraints() else chosen
    settings = sample_settings(base, given.num, given.seed, chosen)
    relaxation = dataclasses.replace(relaxation, calculators=[given.calculator])
    if given.is_relaxing:
        check(relaxation, given.calculator)
    hull = None if given.hull is None else _hull(place, given, relaxation)
    model = located(given.model)
    make_folder(given.out)
    inputs = [model, *([given.template] if given.template else [])]
    check_out(given.out, inputs, WRITES, marks=[RECORD], by="no `miad generate` has written")
    with locked(given.out / IN_USE, what=f"--out {given.out}", remedy="Wait for it, or give another --out."):
        record = {"model": given.model, "sha256": checksum(model, "sha256"), "settings": dataclasses.asdict(settings)}
        with _flags_named(given):
            sample.run(settings, model=model, crystals=given.out / SAMPLED, shard=0, run=model.stem)
        _replace(given.out, as_json({**record, "versions": versions()}, indent=1))
        if given.is_relaxing:
            relax_once(relaxation, given.out, given.calculator)
        crystals = read_crystals(given.out / ("relaxed.jsonl" if given.is_relaxing else "given.jsonl"))
        write(given.out, crystals, hull, formats)


run = functools.wraps(Options, updated=())(run)


def _replace(out: Path, record: str) -> None:
    """Put new samples and their record in the place of earlier results, so that no record tells of other crystals.

    The same samples again, relaxed before, need not be relaxed a second time.
    """
    is_same = (out / "given.jsonl").is_file() and filecmp.cmp(out / "given.jsonl", out / SAMPLED, shallow=False)
    for name in WRITES:
        if (out / name).is_dir():
            shutil.rmtree(out / name)
        elif not (is_same and name == "relaxed.jsonl"):
            (out / name).unlink(missing_ok=True)
    write_text(out / RECORD, record)
    (out / SAMPLED).replace(out / "given.jsonl")


def sample_settings(base: Sample, num: int, seed: int, chosen: Constraints) -> Sample:
    """The settings of the sampler, in one shard, for so many crystals under these constraints.

    Raises:
        MiadError: not a number from 1 to `MOST`.
    """
    changes = {"num_crystals": num, "num_shards": 1, "seed": seed, "record": 0, "epoch": None}
    found = from_record(Sample, dataclasses.asdict(base) | changes | {"constraints": dataclasses.asdict(chosen)})
    if found.num_crystals > MOST:
        raise MiadError(
            f"the number of crystals is {num}, at most {MOST} can be generated at once. Generate them in parts, each"
            " with a seed of its own."
        )
    return found


def constraints(given: Options) -> Constraints:
    """The constraints that the flags name; a MiadError of the key if a value makes no sense."""
    _check_flags(given)
    units = [_whole(one, "--formula-units") for one in _listed(given.formula_units)]
    record: dict[str, Any] = {
        "elements": {name: _listed(getattr(given, flag)) for name, flag in _ELEMENTS.items()},
        "systems": [system.split("-") for system in _listed(given.systems)],
        "subsystems": given.subsystems,
        "compositions": [{"formula": one, "formula_units": units} for one in _listed(given.compositions)],
        "num_atoms": _range(given.num_atoms),
    }
    if given.template is not None:
        free = [_whole(one, "--free") for one in _listed(given.free)]
        record["template"] = {"file": str(given.template), "free": free, "keep_cell": not given.free_cell}
    return from_record(Constraints, record)


def _check_flags(given: Options) -> None:
    """Refuse flags that would be of no effect: an empty list, or one without the flag that it belongs to."""
    for flag in ("elements", "never", "must", "systems", "compositions", "formula_units", "free", "format"):
        if getattr(given, flag) is not None and not _listed(getattr(given, flag)):
            raise MiadError(f"--{flag.replace('_', '-')} is empty. Leave it out, or give it a value.")
    for flag, other in _BELONGS.items():
        if getattr(given, flag) != getattr(Options, flag) and getattr(given, other) is None:
            raise MiadError(f"--{flag.replace('_', '-')} has no effect without --{other}. Give both, or leave it out.")
    if given.calculator != Options.calculator and not given.is_relaxing:
        raise MiadError("--calculator has no effect without --relax or --hull. Give one of them, or leave it out.")


_BELONGS = {"free": "template", "free_cell": "template", "subsystems": "systems", "formula_units": "compositions"}
_BELONGS |= {"hull_frame": "hull"}
_ELEMENTS = {"only": "elements", "never": "never", "must": "must"}
_KEYS = {flag: f"elements.{key}" for key, flag in _ELEMENTS.items()}
_KEYS |= {"systems": "systems", "subsystems": "subsystems", "compositions": "compositions", "num_atoms": "num_atoms"}
_KEYS |= {"template": "template.file", "free": "template.free", "free_cell": "template.keep_cell"}


@contextlib.contextmanager
def _flags_named(given: Options) -> Iterator[None]:
    """Say in a MiadError of the constraints which of their keys came from which flags."""
    try:
        yield
    except MiadError as error:
        asked = [f"{key} is --{flag.replace('_', '-')}" for flag, key in _KEYS.items() if getattr(given, flag)]
        if "constraints" not in str(error) or not asked:
            raise
        raise MiadError(f"{error} Of these keys, {', '.join(asked)}.") from error


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _whole(text: str, flag: str) -> int:
    if not text.isdecimal():
        raise MiadError(f"{flag}: {text or 'nothing'} is no whole number.")
    if len(text) > DIGITS:
        raise MiadError(f"{flag}: {text[:DIGITS]}… has {len(text)} digits, more than {DIGITS}. Give a smaller number.")
    return int(text)


def _range(text: str | None) -> dict[str, int]:
    """`6` or `4-12` as the key num_atoms of constraints."""
    if text is None:
        return {}
    least, dash, most = text.partition("-")
    if not least or (dash and not most):
        raise MiadError(f"--num-atoms: {text or 'nothing'} is neither a whole number nor a range such as 4-12.")
    return {"min": _whole(least, "--num-atoms"), "max": _whole(most if dash else least, "--num-atoms")}


def _formats(text: str) -> list[str]:
    if odd := [one for one in _listed(text) if one not in FORMATS]:
        raise MiadError(f"--format: {odd[0]} is none of {', '.join(FORMATS)}.")
    return _listed(text)


def _hull(place: Hull, given: Options, relaxation: Relax) -> ConvexHull:
    """The hull, whose energies are of the frame that the relaxation gives."""
    chosen = dataclasses.asdict(place) | {"source": given.hull, "checksum": None, "energy_frame": given.hull_frame}
    table = read_source(from_record(Hull, chosen), [])
    frame = potential(given.calculator, relaxation.potentials.get(given.calculator)).energy_frame
    must_match(f"the calculator {given.calculator}", frame, table.name, table.energy_frame)
    return ConvexHull(table)


def write(out: Path, crystals: list[Crystal], hull: ConvexHull | None, formats: list[str]) -> None:
    """Write crystals as JSON lines, as a table with a row for each, and in the formats that are wanted."""
    points = [None] * len(crystals) if hull is None else heights(crystals, hull, "report")
    lines = []
    for number, (crystal, point) in enumerate(zip(crystals, points, strict=True)):
        if point is not None:
            judged = crystal.replace(e_above_hull=energy_above(crystal, point))
            crystals[number] = judged.failed("hull", point.problem) if point.problem else judged
        lines.append(_line(crystals[number], point))
    write_crystals(out / "crystals.jsonl", crystals)
    write_csv(out / "crystals.csv", COLUMNS, lines)
    intact = [one for one in crystals if is_decoded(one)]
    for kind in FORMATS:  # of an earlier call, whose crystals had the same ids
        shutil.rmtree(out / kind, ignore_errors=True)
    (out / "crystals.extxyz").unlink(missing_ok=True)
    if "extxyz" in formats:
        write_extxyz(out / "crystals.extxyz", [to_atoms(one) for one in intact])
    for kind, text in {"cif": to_cif, "poscar": _to_poscar}.items():
        if kind in formats:
            _write_each(out / kind, intact, text, kind)
    of_crystals(out, crystals, "have no file of their own").report(None, "Give other constraints, or another model.")
    log.info("%d crystals are in %s: crystals.csv, %s", len(intact), out, ", ".join(formats))


def _line(crystal: Crystal, point: HullPoint | None) -> dict[str, Any]:
    """One crystal in the columns of the table: density in g/cm³, volume in Å³, energies in eV/atom."""
    known = {name: getattr(crystal, name) for name in COLUMNS if hasattr(crystal, name)}
    known["failure"] = None if crystal.failure is None else str(crystal.failure)
    if not is_decoded(crystal):
        return known | {"reduced_formula": None, "chemical_system": None}
    known |= {"space_group": space_group(crystal), "density": float(crystal.structure.density)}
    known["volume_per_atom"] = crystal.volume / crystal.num_atoms
    return known | ({"decomposition": mixture(point.decomposition), "num_rivals": point.num_rivals} if point else {})


def _to_poscar(crystal: Crystal) -> str:
    from pymatgen.io.vasp import Poscar

    return str(Poscar(crystal.structure, comment=crystal.crystal_id, sort_structure=True))


def _write_each(folder: Path, crystals: Iterable[Crystal], text: Callable[[Crystal], str], ending: str) -> None:
    """One file per crystal in a new folder, which takes the place of the old one."""
    with atomic_folder(folder) as fresh:
        for crystal in crystals:
            (fresh / f"{file_name(crystal.crystal_id)}.{ending}").write_text(text(crystal), encoding="utf-8")
