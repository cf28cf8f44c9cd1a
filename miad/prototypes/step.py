"""The built-in data set `prototypes` and the phases that compete with its crystals, all relaxed with CHGNet.

The data set are decorated structure types, sifted by their hull; the competing phases are what a search of chemical
systems finds near the hull of both.
"""

import logging
import shutil
from collections import Counter
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from miad.config.sections import Relax
from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.core.files import write_text
from miad.core.tabular import markdown_table
from miad.prototypes import competing, selection
from miad.prototypes.candidates import candidates
from miad.prototypes.competing import CALCULATOR
from miad.prototypes.templates import MAX_ATOMS
from miad.relax import step as relax

log = logging.getLogger("miad")
# Tighter than the 0.1 eV/Å of the paper's relaxations: symmetric cells converge fast, and these energies make a hull.
FMAX, MAX_STEPS = 0.05, 300


def run(
    *,
    out: Path,
    workers: int | None = None,
    seed: int = 0,
    shard: str = "1/1",
    merge: bool = False,
    go_on: bool = False,
) -> None:
    """Make the built-in data set and the competing phases.

    First `prototypes_{train,val,test}.jsonl.gz` and the card `prototypes.md`, unless they are there, then the search
    of all chemical systems, then the tables `competing_phases.csv.gz` and `competing_systems.csv.gz`. A killed run
    continues where it stopped. The same seed and versions give the same data set.

    Args:
        out: folder for the files; candidates, relaxed cells and searches stay there too.
        workers: processes; all cores if left out.
        seed: of the order of the candidates and of the split.
        shard: search only this part of the systems, e.g. 2/8; the first part makes the data set. Then use --merge.
        merge: only write the tables, of what all shards have searched so far.
        go_on: begin with the data set and the searches that ship with miad, and search what is missing.

    Raises:
        MiadError: no such shard, or no data set yet where it is needed.
    """
    number, of = _shard(shard)
    if go_on:
        _copy_shipped(out)
    if not all(_split(out, name).is_file() for name in selection.SHARES):
        if merge or number > 1:
            raise MiadError(f"{out} has no data set yet. Run `miad prototypes --out {out}` first, or its shard 1.")
        _make_data_set(out, workers, seed)
    crystals = read_crystals(*(_split(out, name) for name in selection.SHARES))
    if not merge:
        competing.search(out, crystals, seed, (number, of), relax_settings(workers))
    if merge or of == 1:
        competing.merge(out, crystals)


def _copy_shipped(out: Path) -> None:
    """Copy what ships into the folder, but for what is there."""
    out.mkdir(parents=True, exist_ok=True)
    place = Path(str(files("miad.prototypes")))
    for name in (*(_split(place, name).name for name in selection.SHARES), competing.SEARCHES):
        if not (out / name).exists():
            shutil.copyfile(place / name, out / name)


def _split(out: Path, name: str) -> Path:
    return out / f"prototypes_{name}.jsonl.gz"


def _shard(text: str) -> tuple[int, int]:
    """Number of a shard, from 1 on, and how many there are, of a text such as 2/8."""
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise MiadError(f"--shard {text} is no part of a whole such as 2/8.")
    return int(number), int(of)


def _make_data_set(out: Path, workers: int | None, seed: int) -> None:
    given = _relaxed(out, candidates(seed), workers)
    kept = selection.select(given, seed, workers)
    for name, part in kept.items():
        write_crystals(_split(out, name), part)
        log.info("%s: %d crystals", name, len(part))
    write_text(out / "prototypes.md", card(kept, len(given), seed))


def _relaxed(out: Path, chosen: list[Crystal], workers: int | None) -> list[Crystal]:
    """The candidates after relaxation; what an earlier run left in the folder is used if it is of the same ones."""
    crystals, relaxed = out / "candidates.jsonl", out / "relaxed.jsonl"
    if relaxed.is_file():
        found = read_crystals(relaxed)
        if [crystal.source_id for crystal in found] == [crystal.source_id for crystal in chosen]:
            return found
    write_crystals(crystals, chosen)
    relax.run(relax_settings(workers), crystals=crystals, relaxed=relaxed, calculator=CALCULATOR)
    return read_crystals(relaxed)


def relax_settings(workers: int | None) -> Relax:
    """The settings that the data set is relaxed with."""
    return Relax(
        calculators=[CALCULATOR],
        fmax=FMAX,
        max_steps=MAX_STEPS,
        min_distance=0.5,
        max_volume_ratio=4.0,
        time_limit=600.0,
        memory=1.5,
        workers=workers,
        device="cpu",
        potentials={},
    )


def card(kept: dict[str, list[Crystal]], num_candidates: int, seed: int) -> str:
    """Card of the data set, Markdown: its purpose, recipe and contents.

    Args:
        kept: crystals by split.
        num_candidates: number of crystals that were relaxed.
        seed: that the set was made with.
    """
    crystals = [crystal for part in kept.values() for crystal in part]
    elements = Counter(symbol for crystal in crystals for symbol in crystal.element_counts)
    # `source_id` is `type:formula`.
    by_split = [Counter((crystal.source_id or "").partition(":")[0] for crystal in part) for part in kept.values()]
    types = sum(by_split, Counter())
    sizes = Counter(crystal.num_atoms for crystal in crystals)
    names = sorted(types, key=lambda name: (-types[name], name))
    rows = [[name, *(counts[name] for counts in by_split), types[name]] for name in names]
    return (
        (files("miad.prototypes") / "card.md")
        .read_text(encoding="utf-8")
        .format(
            num_crystals=len(crystals),
            splits=", ".join(f"{len(part)} {name}" for name, part in kept.items()),
            num_types=len(types),
            num_elements=len(elements),
            max_atoms=selection.MAX_ATOMS,
            seed=seed,
            num_candidates=num_candidates,
            calculator=crystals[0].calculator,
            fmax=FMAX,
            max_steps=MAX_STEPS,
            keep=competing.KEEP,
            template_atoms=MAX_ATOMS,
            margin=competing.MARGIN,
            best=competing.BEST,
            spread=competing.SPREAD,
            max_e_above_hull=selection.MAX_E_ABOVE_HULL,
            num_on_hull=sum(crystal.e_above_hull is not None and crystal.e_above_hull <= 1e-6 for crystal in crystals),
            versions=", ".join(f"{name} {version(name)}" for name in ("pymatgen", "torch", "numpy", "scipy")),
            energy_frame=crystals[0].energy_frame,
            sizes=", ".join(f"{size}: {sizes[size]}" for size in sorted(sizes)),
            types=markdown_table(["structure type", *kept, "all"], rows),
            elements=", ".join(f"{symbol} {elements[symbol]}" for symbol in sorted(elements)),
        )
    )
