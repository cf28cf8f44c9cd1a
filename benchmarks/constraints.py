"""Quality of samples under constraints: ways to draw them beside each other, and the table of docs/generate.md.

    python benchmarks/constraints.py --train train.jsonl --hull mp_hull_points.csv.gz [--model mp20-small] --out out \
        [--table variants|users] [--num 32] [--seed 0] [--only NAME …]

`variants`: --num samples of each of four systems of four elements, of which they may hold any, drawn in each of the
ways of benchmarks/constraint_variants.py; beside them as many unrestricted samples as all systems have together. For a
network without `network.allowed_input` the way "without the input" is that of the package.
`users`: --num samples under each of the constraints that users give, violations recounted by pymatgen from the CIFs.
Both are relaxed by CHGNet and judged by `miad evaluate`. --only leaves rows of the table out. What is in --out is not
made again. Prints Markdown tables.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pymatgen.core import Composition, Structure

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from constraint_variants import VARIANTS, Variant, drawn_as  # noqa: E402

SYSTEMS = (("Li", "P", "S", "O"), ("Na", "Fe", "O", "F"), ("Mg", "Ni", "Si", "Al"), ("Ca", "Ti", "N", "O"))
UNRESTRICTED = "unrestricted"
SHARES = ("empty", "metastable", "msun", "sun")
HEADER = ["samples", "system", "empty, %", "metastable, %", "M.S.U.N., %", "S.U.N., %"]
HEADER += ["systems", "elements", "atoms", "seconds"]


@dataclass(frozen=True)
class Judged:
    """One sample as the tables count it.

    Attributes:
        dealt: system that it was dealt out to, e.g. Ca-N-O-Ti.
        elements, num_atoms: of what was generated, none if it is empty.
        flags: which of SHARES hold.
    """

    dealt: str
    elements: frozenset[str]
    num_atoms: int
    flags: frozenset[str]


def settings(num: int, seed: int, chosen: dict):
    """Settings of the sampler as of `miad generate`."""
    from miad.config.resolve import default_config, read_settings
    from miad.config.sections import Constraints, Sample, from_record
    from miad.generate import sample_settings
    from miad.preflight.checks import check_runs

    base = read_settings(default_config(), Sample, check_runs)
    return sample_settings(base, num, seed, from_record(Constraints, chosen))


def made(options: argparse.Namespace, name: str, num: int, chosen: dict, variant: Variant) -> tuple[Path, float]:
    """The folder of samples that are drawn and judged, and the seconds that drawing took; nothing is done twice."""
    from miad.model.shipped import located
    from miad.sample import step as sample

    folder = options.out / f"{name.replace(' ', '_').replace(',', '').replace('/', '_')}-{options.seed}"
    samples, spent = folder / "samples.jsonl", folder / "seconds.txt"
    if not spent.is_file():
        atoms, start = counts(options.train), time.perf_counter()
        with drawn_as(variant, atoms):
            sample.run(
                settings(num, options.seed, chosen), model=located(options.model), crystals=samples, shard=0, run="s"
            )
        spent.write_text(f"{time.perf_counter() - start:.0f}")
    judge(samples, folder / "judged", options)
    return folder, float(spent.read_text())


def judge(samples: Path, out: Path, options: argparse.Namespace) -> None:
    """Relax and judge samples, unless it is done."""
    from miad import evaluate

    if not (out / "row.json").is_file():
        evaluate.run(samples, train=options.train, hull=str(options.hull), out=out, run="s")


def counts(train: Path):
    """Atoms of each class in the training crystals, (K,)."""
    import torch

    from miad.core.crystal import NUM_SPECIES, read_crystals

    kinds = np.concatenate([one.atomic_numbers for one in read_crystals(train)])
    return torch.from_numpy(np.bincount(kinds, minlength=NUM_SPECIES)).float()


def judged(folder: Path, systems: list[str]) -> list[Judged]:
    """The samples that are judged in a folder, dealt out to the systems in turn."""
    from miad.core.crystal import read_crystals
    from miad.sun.verdict import read_verdicts

    verdicts = read_verdicts(folder / "verdicts.jsonl")
    found = []
    for index, one in enumerate(read_crystals(folder / "crystals.jsonl")):
        verdict = verdicts[one.crystal_id].protocols["strict"]
        flags = {"metastable": verdict.is_metastable, "msun": verdict.is_msun, "sun": verdict.is_sun}
        flags |= {"empty": one.num_atoms == 0, "relaxed": verdict.reason not in ("not decoded", "not relaxed")}
        elements = frozenset() if not one.num_atoms else frozenset(one.chemical_system.split("-"))
        kept = frozenset(name for name, holds in flags.items() if holds)
        found.append(Judged(systems[index % len(systems)], elements, one.num_atoms, kept))
    return found


def share(ones: list[Judged], flag: str) -> str:
    """A share in percent with its interval."""
    from miad.core.statistics import wilson

    rate = wilson(sum(flag in one.flags for one in ones), len(ones)).percent()
    return f"{rate.value:.1f} [{rate.low:.1f}, {rate.high:.1f}]"


def lines(name: str, ones: list[Judged], seconds: float, is_split: bool) -> Iterator[list[str]]:
    """Rows of one way to draw samples: of each system if wanted, and of all."""
    parts = {one.dealt: [other for other in ones if other.dealt == one.dealt] for one in ones} if is_split else {}
    for system, part in {**parts, "all": ones}.items():
        whole = [one for one in part if one.num_atoms]
        yield [
            name,
            system,
            *(share(part, flag) for flag in SHARES),
            str(len({one.elements for one in whole})),
            f"{np.mean([len(one.elements) for one in whole]):.2f}" if whole else "–",
            f"{np.mean([one.num_atoms for one in whole]):.2f}" if whole else "–",
            f"{seconds:.0f}" if system == "all" else "",
        ]


def variants(options: argparse.Namespace) -> None:
    """The table of the ways to draw samples."""
    num = options.num * len(SYSTEMS)
    show(HEADER)
    show(["---"] * len(HEADER))
    if UNRESTRICTED in options.only:
        folder, seconds = made(options, UNRESTRICTED, num, {}, Variant())
        for line in lines(UNRESTRICTED, judged(folder / "judged", ["any"]), seconds, is_split=False):
            show(line)
    chosen = {"systems": [list(system) for system in SYSTEMS], "subsystems": True}
    for name in (name for name in VARIANTS if name in options.only):
        folder, seconds = made(options, name, num, chosen, VARIANTS[name])
        for line in lines(name, judged(folder / "judged", ["-".join(one) for one in SYSTEMS]), seconds, is_split=True):
            show(line)


def users(options: argparse.Namespace) -> None:
    """The table of what users ask for."""
    from miad import generate
    from miad.core.crystal import read_crystals

    show(["constraint", "violations", "empty, %", "relaxed, %", "within 0.1 eV/atom, %", "M.S.U.N., %"])
    show(["---"] * 6)
    for name, (flags, check) in ((name, USERS[name]) for name in USERS if name in options.only):
        folder = options.out / f"user-{name}-{options.seed}"
        if not (folder / "crystals.csv").is_file():
            common = {"model": str(options.model), "num": options.num, "seed": options.seed, "format": "cif"}
            generate.run(out=folder, **common, **flags)
        whole = [one.crystal_id for one in read_crystals(folder / "crystals.jsonl") if not one.failure]
        found = violations(folder / "cif", whole, check)
        judge(folder / "crystals.jsonl", folder / "judged", options)
        ones = judged(folder / "judged", ["all"])
        told = " ".join(f"`--{flag.replace('_', '-')} {value}`" for flag, value in flags.items()) or "none"
        show([told, str(found), *(share(ones, flag) for flag in ("empty", "relaxed", "metastable", "msun"))])


def violations(folder: Path, names: list[str], check: Callable[[Structure, int], bool]) -> int:
    """CIFs that pymatgen reads as something that breaks the condition; a crystal without its file is one, too."""
    count = 0
    for name in names:
        path = folder / f"{name}.cif"
        count += not path.is_file() or not check(Structure.from_file(path), int(name.rsplit("-", 1)[1]))
    return count


def of_elements(symbols: str) -> Callable[[Structure, int], bool]:
    """Whether a crystal has no other elements."""
    return lambda one, _: {site.specie.symbol for site in one} <= set(symbols.split(","))


def of_formula(formulas: str) -> Callable[[Structure, int], bool]:
    """Whether a crystal is one formula unit of the formula that its number is dealt."""
    dealt = [Composition(formula) for formula in formulas.split(",")]
    return lambda one, number: one.composition.almost_equals(dealt[number % len(dealt)])


USERS: dict[str, tuple[dict[str, str], Callable[[Structure, int], bool]]] = {
    "none": ({}, lambda one, _: len(one) > 0),
    **{f"only-{system[0]}": ({"elements": ",".join(system)}, of_elements(",".join(system))) for system in SYSTEMS},
    "system": ({"systems": "Li-P-S"}, lambda one, _: {site.specie.symbol for site in one} == {"Li", "P", "S"}),
    "compositions": ({"compositions": "NaCl,Li3PS4,Mg2NiSi"}, of_formula("NaCl,Li3PS4,Mg2NiSi")),
    "size": ({"num_atoms": "4-6"}, lambda one, _: 4 <= len(one) <= 6),
    "never": ({"never": "radioactive"}, lambda one, _: not any(site.specie.is_radioactive for site in one)),
}


def show(cells: list[str]) -> None:
    """Print one row as soon as it is there."""
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mp20-small", help="name of a shipped model, or a file")
    parser.add_argument("--train", type=Path, required=True, help="its training crystals, JSON lines")
    parser.add_argument("--hull", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", choices=["variants", "users"], default="variants")
    parser.add_argument("--num", type=int, default=32, help="samples of each system, or under each constraint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="rows of the table; all if left out")
    options = parser.parse_args()
    rows, table = {"variants": ([UNRESTRICTED, *VARIANTS], variants), "users": (list(USERS), users)}[options.table]
    options.only = options.only or rows
    if odd := [name for name in options.only if name not in rows]:
        parser.error(f"--only: {odd[0]} is no row of --table {options.table}. Give some of: {', '.join(rows)}.")
    table(options)


if __name__ == "__main__":
    main()
