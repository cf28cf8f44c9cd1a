"""A folder of results as a finished workflow leaves it, made of hand-made crystals by the real last steps."""

import json
from pathlib import Path

import numpy as np
import yaml
from safetensors.numpy import save_file

from miad.config.resolve import resolve
from miad.config.sections import Relax, Report, build
from miad.core.crystal import Crystal, write_crystals
from miad.hull.convex import Entry, HullTable, write_table
from miad.report import candidates, compare, sun_table
from miad.report.figures import step as figures
from miad.report.page import step as page
from miad.sun import step as sun
from miad.train import loss_curve
from tests.builders import ROOT
from tests.builders.settings import sun_settings

METALS, ANIONS = ("Li", "Na", "K", "Rb", "Cs"), ("F", "Cl", "Br", "I", "H", "O")
NUM_SALTS = len(METALS) * len(ANIONS)
HOSTILE = "</script><script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">"
TIMES = [40, 30, 20, 10, 0]
LOSSES = ("lattice", "coords", "species")


def salt(name: str, metal: int, anion: int, edge: float) -> Crystal:
    """Rock salt in its primitive cell."""
    lattice = edge / 2 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal(name, lattice, np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]), np.array([metal, anion]))


def samples(run: str) -> list[Crystal]:
    """Thirty salts below the hull, a duplicate, one above, one that did not converge, two that failed."""
    from pymatgen.core import Element

    known = {"calculator": "CHGNet 0.3.0 (test)", "energy_frame": "mp2020", "converged": True, "num_steps": 7}
    known |= {"rms_displacement": 0.1, "volume_change": 0.02, "initial_energy_per_atom": -2.0}
    found = []
    for metal in METALS:
        for anion in ANIONS:
            edge = 4.6 + 0.1 * len(found)
            one = salt(f"{run}-000-{len(found):05d}", Element(metal).Z, Element(anion).Z, edge)
            found.append(one.replace(energy_per_atom=-3.0 - 0.01 * len(found), **known))
    found[0] = found[0].replace(crystal_id=HOSTILE)
    duplicate = found[1].replace(crystal_id=f"{run}-000-00030", energy_per_atom=-2.9)
    above = salt(f"{run}-000-00031", 12, 8, 4.2).replace(**known, energy_per_atom=-1.0)
    slow = salt(f"{run}-000-00032", 12, 16, 5.2).replace(**{**known, "converged": False}, energy_per_atom=-1.1)
    unknown = salt(f"{run}-000-00033", 54, 9, 5.0).replace(**known, energy_per_atom=-5.0)
    failed = salt(f"{run}-000-00034", 12, 9, 4.0).failed("relax", "its volume changed 9-fold")
    return [*found, duplicate, above, slow, unknown, failed]


def config(**changes) -> dict:
    """config.yaml with one shard and one ablation."""
    given = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    given["laptop"]["sample"] |= {"num_crystals": 35, "num_shards": 1}
    given["ablations"] = {"small": {"mirage": {"num_atoms": 8}}}
    return given | changes


def write_run(folder: Path, run: str, crystals: list[Crystal]) -> None:
    """Files of one run that the steps before the report write."""
    elements = {*METALS, *ANIONS, "Mg", "S"}
    entries = [Entry(name, -2.5) for name in sorted(elements)]
    home = folder / run
    write_table(
        home / "hull" / "entries.csv.gz", HullTable("by hand", "mp2020", "15 crystals of the data set", entries)
    )
    write_crystals(home / "dataset" / "train.jsonl.gz", [salt("train-0", 20, 8, 4.8)])
    write_crystals(home / "sample" / "0.jsonl", [one.replace(energy_per_atom=None) for one in crystals])
    write_trajectories(home / "sample" / "0.trajectories.safetensors", crystals[:4])
    rows = [
        {
            **dict.fromkeys(loss_curve.columns(LOSSES), 1.0 / epoch),
            "epoch": epoch,
            "step": epoch,
            "seconds": 2.0 * epoch,
        }
        for epoch in range(1, 11)
    ]
    loss_curve.write_losses(home / "train" / "losses.csv", rows, LOSSES)
    (home / "train" / "model.safetensors").write_bytes(b"weights")
    names = {"ledger": "ledger.jsonl", "verdicts": "verdicts.jsonl", "row": "row.json"}
    judged = {kind: home / "sun" / "chgnet" / name for kind, name in names.items()}
    write_crystals(home / "relaxed.jsonl", crystals)
    sun.run(
        sun_settings(),
        relaxed=[home / "relaxed.jsonl"],
        generated=[home / "sample" / "0.jsonl"],
        train=home / "dataset" / "train.jsonl.gz",
        hull=home / "hull" / "entries.csv.gz",
        run=run,
        relaxation=build(next(iter(resolve(config()).values())), Relax),
        **judged,
    )
    write_candidates(judged, home)


def write_candidates(judged: dict[str, Path], folder: Path, run: str | None = None) -> None:
    """Candidates and ledger of one run, from the `ledger`, `verdicts` and `row` that `miad sun` wrote."""
    candidates.run(
        ledgers=[judged["ledger"]],
        verdicts=[judged["verdicts"]],
        rows=[judged["row"]],
        candidates=folder / "candidates.csv",
        cif=folder / "cif",
        ledger_csv=folder / "ledger.csv",
        ledger_parquet=folder / "ledger.parquet",
        run=run,
    )


def write_trajectories(path: Path, crystals: list[Crystal]) -> None:
    """Four places per crystal: two become its atoms, one vanishes at t = 20, one is real from t = 30 to 20 only."""
    species = np.zeros((len(TIMES), len(crystals), 4), dtype=np.uint8)
    for index, crystal in enumerate(crystals):
        species[:, index, :2] = crystal.atomic_numbers
        species[0, index, 1] = 99  # changes its type at t = 30
        species[:2, index, 2] = 8
        species[1:3, index, 3] = 9
    coords = np.full((len(TIMES), len(crystals), 4, 3), 0.25, dtype=np.float32)
    coords[:, :, 1] = 0.75
    lattice = np.stack([np.stack([crystal.lattice for crystal in crystals])] * len(TIMES)).astype(np.float32)
    tensors = {"times": np.array(TIMES), "lattice": lattice, "frac_coords": coords, "species": species}
    save_file(tensors, path)


def write(folder: Path, given: dict | None = None) -> str:
    """A finished folder with two runs, the report included; returns the config as JSON."""
    text = json.dumps(given or config())
    settings = build(next(iter(resolve(json.loads(text)).values())), Report)
    write_run(folder, "miad", samples("miad"))
    write_run(folder, "small", samples("small")[5:])
    rows = [folder / run / "sun" / "chgnet" / "row.json" for run in ("miad", "small")]
    sun_table.run(settings, rows=rows, table=folder / "sun_table.csv", readable=folder / "sun_table.md")
    compare.run(results=folder, out=folder / "tables", runs=text)
    figures.run(results=folder, out=folder / "figures", runs=text)
    page.run(results=folder, out=folder / "report.html", runs=text)
    return text
