"""The Python API: crystals in and out of a script or a notebook, by the same steps as on the command line.

    import miad
    structures = miad.load("mp20-small").generate(20, elements=["Li", "P", "S", "O"])
    relaxed = miad.relax(structures)
    table = miad.evaluate(relaxed, known="train.csv.gz", hull="mp-2023-02-07")

Crystals are pymatgen Structures or ASE Atoms; what a step learnt of one is in its `properties` (of Atoms: `info`),
under the names of `miad.core.crystal.Crystal`. As many come out as go in: of one that failed `failure` says why, and it
has no atoms if there never was a crystal.
Errors are those of the command line, of type `miad.core.errors.MiadError`.
"""

import dataclasses
import json
import tempfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miad import evaluate as evaluation
from miad.config.resolve import default_config, read_settings
from miad.config.sections import Constraints, Relax, Sample, from_record
from miad.config.validation import did_you_mean
from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.core.files import checksum
from miad.core.remarks import without_remarks
from miad.core.sound import sound, unread
from miad.generate import sample_settings
from miad.model import shipped
from miad.model.weights import Model
from miad.model.weights import read_settings as settings_of
from miad.preflight.checks import check_runs
from miad.relax import step as relaxation
from miad.report.export import to_atoms
from miad.sample import step as sampling

if TYPE_CHECKING:
    import pandas
    from ase import Atoms
    from pymatgen.core import Structure

    AnyCrystal = Structure | Atoms

NAME = "crystal"  # crystals that were given without an id are called crystal-0-0, crystal-0-1, …
# What a step learns of a crystal, and its properties keep until it is relaxed again.
_LEARNT: tuple[str, ...] = (
    "energy_per_atom",
    "calculator",
    "energy_frame",
    "initial_energy_per_atom",
    "num_steps",
    "rms_displacement",
)
_LEARNT += ("volume_change", "converged", "e_above_hull")


def load(model: str | Path = shipped.DEFAULT) -> "Generator":
    """A trained model.

    Args:
        model: name of one that ships with miad (`miad models`), mp20-small if left out, or a file of `miad train`.

    Returns:
        The model, which generates crystals.

    Raises:
        MiadError: no such model, or a file of something else.
    """
    path = shipped.located(model)
    return Generator(path, settings_of(path))


@dataclass(frozen=True)
class Generator:
    """A trained model that generates crystals.

    Attributes:
        path: its file, safetensors.
        settings: what it was trained with.
    """

    path: Path
    settings: Model

    def generate(self, n: int = 20, *, seed: int = 0, atoms: bool = False, **constraints: Any) -> "list[AnyCrystal]":
        """Generate crystals.

        Args:
            n: their number, at least 1.
            seed: of the random numbers; the same one gives the same crystals on like machines.
            atoms: return ASE Atoms instead of pymatgen Structures.
            constraints: the keys of sample.constraints in config.yaml, with their values: `systems`, `subsystems`,
                `compositions`, `num_atoms`, `template`, `elements`; a list of elements is short for `{"only": …}`.

        Returns:
            n crystals, each with its id, the model, the SHA-256 of its file, the seed and the constraints.

        Raises:
            MiadError: constraints that contradict each other or the model.
        """
        if isinstance(only := constraints.get("elements"), Iterable) and not isinstance(only, str | dict):
            constraints["elements"] = {"only": list(only)}
        _refuse_empty(constraints)
        chosen = from_record(Constraints, constraints)
        settings = sample_settings(read_settings(default_config(), Sample, check_runs), n, seed, chosen)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "crystals.jsonl"
            sampling.run(settings, model=self.path, crystals=path, shard=0, run=self.path.stem)
            found = read_crystals(path)
        origin = {"model": self.path.stem, "sha256": checksum(self.path, "sha256"), "seed": seed}
        return [_given_back(one, atoms, {**origin, "constraints": constraints}) for one in found]


@without_remarks()
def relax(structures: "Sequence[AnyCrystal]", *, calculator: str = "chgnet", **settings: Any) -> "list[AnyCrystal]":
    """Relax crystals, cells and positions, on all cores or on the GPU.

    Args:
        structures: the crystals, fully occupied and periodic.
        calculator: potential, as in relax.calculators of config.yaml.
        settings: keys of section relax in config.yaml with other values, e.g. fmax=0.05 (eV/Å), max_steps=500.

    Returns:
        The relaxed crystals, of the type in which each was given, with `energy_per_atom` (eV/atom), its `energy_frame`,
        `converged`, `num_steps`, `volume_change` and more; what other properties they had, they keep.

    Raises:
        MiadError: the potential is unknown or cannot be loaded, or a setting has no such value.
    """
    structures = _listed(structures, "relax")
    base = read_settings(default_config(), Relax, check_runs)
    chosen = from_record(Relax, dataclasses.asdict(base) | settings | {"calculators": [calculator]})
    with tempfile.TemporaryDirectory() as folder:
        given, relaxed = Path(folder) / "given.jsonl", Path(folder) / "relaxed.jsonl"
        write_crystals(given, (one.replace(**dict.fromkeys(_LEARNT)) for one in _read(structures)))
        relaxation.run(chosen, crystals=given, relaxed=relaxed, calculator=calculator)
        found = read_crystals(relaxed)
    return [
        _given_back(one, not _is_structure(before), _kept(before))
        for one, before in zip(found, structures, strict=True)
    ]


@without_remarks()
def evaluate(
    structures: "Sequence[AnyCrystal]",
    *,
    known: "str | Path | Sequence[AnyCrystal]",
    hull: str | Path,
    **options: Any,
) -> "pandas.DataFrame":
    """Judge crystals: energy above the hull, stable, unique and novel, over every attempted one.

    Crystals that all carry energies, as those of `relax`, are judged as they are; otherwise all are relaxed.

    Args:
        structures: the crystals.
        known: crystals that are not novel: structures, or a file or folder in any format that `miad evaluate` reads.
        hull: reference energies: a table of `miad hull`, CSV or JSON of entries, a URL, mp-2023-02-07 or prototypes.
        options: further flags of `miad evaluate`, without dashes and with _ for -: calculator="chgnet",
            hull_frame="mp2020", generated="before.extxyz".

    Returns:
        The ledger, one row per crystal, in their order. `attrs["summary"]` has counts, and rates in percent with their
        95 % intervals, under every protocol; `attrs["headline"]` names the protocol of the ledger.

    Raises:
        MiadError: as of `miad evaluate`.
    """
    import pandas

    if not (structures := _listed(structures, "evaluate")):
        raise MiadError("evaluate: there are no crystals. Give at least one.")
    own = {field.name for field in dataclasses.fields(evaluation.Options)} - {"crystals", "train", "hull", "out"}
    if odd := sorted(set(options) - own):
        raise MiadError(f"evaluate: {odd[0]} is not a known option.{did_you_mean(odd[0], own)}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_crystals(place / "samples.jsonl", _read(structures))
        if not isinstance(known, str | Path):
            if not (known := _listed(known, "known")):
                raise MiadError("known: there are no crystals. Give at least one, or a file of them.")
            write_crystals(place / "known.jsonl", _read(known))
            known = place / "known.jsonl"
        paths = {name: Path(options[name]) for name in ("generated", "val", "test") if options.get(name) is not None}
        options = {"run": NAME, **options, **paths}
        evaluation.run(place / "samples.jsonl", train=Path(known), hull=str(hull), out=place / "out", **options)
        table = pandas.read_parquet(place / "out" / "ledger.parquet")
        row = json.loads((place / "out" / "row.json").read_text(encoding="utf-8"))
    table.attrs["headline"] = row["headline"]
    table.attrs["summary"] = {
        name: {key: of[key] for key in ("counts", "rates")} for name, of in row["protocols"].items()
    }
    return table


def _refuse_empty(constraints: dict[str, Any]) -> None:
    """Refuse a constraint that is given and empty: it may be meant as nothing, and would allow everything."""
    inner = {
        f"{key}.{name}": one for key, of in constraints.items() if isinstance(of, dict) for name, one in of.items()
    }
    for key, value in (constraints | inner).items():
        if isinstance(value, Collection) and not isinstance(value, str) and len(value) == 0:
            raise MiadError(f"{key} is empty. Leave it out, or give it a value.")


def _is_structure(crystal: Any) -> bool:
    from pymatgen.core import Structure

    return isinstance(crystal, Structure)


def _properties(crystal: Any) -> dict[str, Any]:
    """What is known of a crystal beside its structure; nothing of what is no crystal."""
    return dict(crystal.properties if _is_structure(crystal) else getattr(crystal, "info", {}))


def _kept(crystal: Any) -> dict[str, Any]:
    """What stays known of a crystal that is relaxed: all but what the step learns anew, or what held before it."""
    return {name: value for name, value in _properties(crystal).items() if name not in (*_LEARNT, "failure")}


def _listed(structures: "Iterable[AnyCrystal]", who: str) -> "list[AnyCrystal]":
    """A list of any series of crystals; a MiadError if a single crystal, itself a series of sites, is given."""
    from ase import Atoms
    from pymatgen.core import SiteCollection

    if isinstance(structures, Atoms | SiteCollection):
        raise MiadError(f"{who}: this is one crystal, where a list is expected. Put it in brackets: [structure].")
    if not isinstance(structures, Iterable) or isinstance(structures, str | bytes | dict):
        raise MiadError(f"{who}: a list of crystals is expected, this is of type {type(structures).__name__}.")
    return list(structures)


def _read(structures: "Iterable[AnyCrystal]") -> list[Crystal]:
    """The crystals as the steps have them, under their own ids if each has one and none occurs twice."""
    known = [(one, _properties(one)) for one in structures]
    ids = [None if (name := of.get("crystal_id")) is None else str(name) for _, of in known]
    is_named = None not in ids and len(set(ids)) == len(ids)
    names = [str(ids[number]) if is_named else f"{NAME}-0-{number}" for number in range(len(ids))]
    return [_crystal(name, *one) for name, one in zip(names, known, strict=True)]


def _crystal(crystal_id: str, crystal: Any, properties: dict[str, Any]) -> Crystal:
    """One crystal; a failure that it has, or that it is no ordered crystal of known elements, goes with it."""
    known = {name: properties[name] for name in _LEARNT if properties.get(name) is not None}
    step, _, reason = str(properties.get("failure") or "").partition(": ")
    own = properties.get("crystal_id")
    source_id = None if own is None or str(own) == crystal_id else str(own)
    try:
        found = sound(Crystal.from_structure(crystal_id, _structure(crystal), source_id=source_id, **known), "read")
    except MiadError as error:
        return unread(crystal_id, "read", str(error), source_id)
    if not reason:
        return found
    return found.failed(step, reason) if found.num_atoms else unread(crystal_id, step, reason, source_id)


def _structure(crystal: Any) -> "Structure":
    """A Structure of a Structure or Atoms; a MiadError, whose message is a reason, if it is neither or not periodic."""
    if _is_structure(crystal):
        return crystal
    from ase import Atoms
    from pymatgen.io.ase import AseAtomsAdaptor

    if not isinstance(crystal, Atoms):
        raise MiadError(f"it is neither a pymatgen Structure nor ASE Atoms, but {type(crystal).__name__}")
    if not crystal.pbc.all():
        raise MiadError("it is not periodic in all three directions")
    if crystal.cell.volume == 0:  # its fractional coordinates cannot be told
        raise MiadError("its cell has no volume")
    return AseAtomsAdaptor.get_structure(crystal)


def _given_back(crystal: Crystal, is_atoms: bool, more: dict[str, Any]) -> "AnyCrystal":
    """A crystal as it is returned, with all that is known of it."""
    failure = None if crystal.failure is None else str(crystal.failure)
    learnt = {name: value for name in _LEARNT if (value := getattr(crystal, name)) is not None}
    properties = {**more, "crystal_id": crystal.crystal_id, **learnt, **({"failure": failure} if failure else {})}
    if is_atoms:
        atoms = to_atoms(crystal)
        atoms.info |= properties
        return atoms
    structure = crystal.structure
    structure.properties = properties
    return structure
