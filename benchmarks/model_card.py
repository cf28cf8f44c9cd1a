"""Write a model that ships: its weights in bfloat16, and its card from what was measured of it.

    miad sample --model model.safetensors --crystals samples.jsonl --shard 0 --settings '{…}'
    miad evaluate samples.jsonl --train train.jsonl.gz --hull hull.csv.gz --out judged --protocols all
    python benchmarks/model_card.py --model model.safetensors --train train.jsonl.gz --losses losses.csv \
        --judged judged --core-hours 4 --hull-note "…" --out weights/mp20-small

A model that went on from another has several loss curves, oldest first: `--losses first.csv then.csv --terms "…" "…"`.
`--terms` says of each what its total is made of. Curves of the same terms are joined, those of others are kept apart.
The weights are rounded to bfloat16, so judge samples of the rounded ones: run once without --judged, then with it.
"""

import argparse
import dataclasses
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from miad.core.crystal import Crystal, read_crystals
from miad.core.statistics import wilson
from miad.core.tabular import markdown_table, read_csv
from miad.model.weights import Model, load, save
from miad.report.candidates import space_group

MANY = 12  # elements and space groups that are listed
RATES = ("metastable", "msun", "stable", "sun")
CARD = """# {name}

{purpose}

{settings}

## What it has learnt from

{origin}. Crystals by number of atoms: {sizes}.

## How good it is

{judged}

## What its samples are like

{contents}

## What it cannot do

- It makes cells of at most {width} atoms, and mostly of the sizes that it has seen.
- It knows the elements of its training crystals only, the rare ones badly.
- Half of its samples are more than 0.1 eV/atom above the hull, or known: judge them before you believe them.
- Energies by CHGNet decide the rates; DFT finds fewer stable crystals (in the paper 8.2 % instead of 12.9 %).

Data: the Materials Project (CC BY 4.0) through MP-20 of CDVAE (MIT). The weights are under the licence of miad (MIT).
"""


def main() -> None:
    """Write the two files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model of `miad train`")
    parser.add_argument("--train", type=Path, required=True, help="its training crystals, JSON lines")
    parser.add_argument(
        "--losses",
        type=Path,
        required=True,
        nargs="+",
        help="its loss curve, after those of the models it started from",
    )
    parser.add_argument("--terms", nargs="+", help="a few words on the total of each of --losses; needed if several")
    parser.add_argument("--core-hours", type=float, required=True, help="of the training")
    parser.add_argument("--judged", type=Path, help="folder of `miad evaluate` on samples of it")
    parser.add_argument("--hull-note", default="", help="a sentence on the hull")
    parser.add_argument("--cost", default="", help="a sentence on the seconds per crystal")
    parser.add_argument("--out", type=Path, required=True, help="name of the files, without ending")
    flags = parser.parse_args()
    terms = flags.terms or [""]
    if len(terms) != len(flags.losses):
        parser.error(f"--terms: {len(terms)} texts for {len(flags.losses)} files of --losses. Give one for each.")
    training = read_crystals(flags.train)
    network, model = load(flags.model)
    elements = np.unique(np.concatenate([crystal.atomic_numbers for crystal in training])).tolist()
    model = dataclasses.replace(model, elements=elements)
    rounded = {name: value.to(torch.bfloat16) for name, value in network.state_dict().items()}
    save(flags.out.with_suffix(".safetensors"), rounded, model)
    flags.out.with_suffix(".json").unlink()  # the header of the weights has the same
    size = sum(value.numel() for value in rounded.values())
    card = CARD.format(
        name=flags.out.name,
        purpose=f"A small model of real crystals, for laptops: {size:,} parameters in bfloat16.",
        settings=settings(model, list(zip(terms, flags.losses, strict=True)), flags.core_hours),
        origin=f"{len(training):,} crystals ({model.origin})",
        sizes=told(Counter(crystal.num_atoms for crystal in training), len(training), by_count=False),
        judged=rates(flags.judged, flags.hull_note, flags.cost) if flags.judged else "Not measured.",
        contents=contents(training, flags.judged) if flags.judged else "Not measured.",
        width=model.width,
    )
    flags.out.with_suffix(".md").write_text(card, encoding="utf-8")


@dataclass(frozen=True)
class Point:
    """A validation.

    Attributes:
        epoch, seconds: since the beginning of the first training.
        loss: the total on the validation crystals.
    """

    epoch: int
    seconds: float
    loss: float


def settings(model: Model, losses: list[tuple[str, Path]], core_hours: float) -> str:
    """Network and training as a table; `losses` are the terms of the total and the curve of each training in turn."""
    epochs, steps, seconds = 0, 0, 0.0
    parts: list[tuple[str, list[Point]]] = []  # consecutive curves of the same terms are one part
    for terms, path in losses:
        curve = read_csv(path)
        found = [
            Point(epochs + int(row["epoch"]), seconds + float(row["seconds"]), float(row["val_total"]))
            for row in curve
            if row["val_total"]
        ]
        if parts and parts[-1][0] == terms:
            parts[-1][1].extend(found)
        else:
            parts.append((terms, found))
        last = curve[-1]
        epochs, steps = epochs + int(last["epoch"]), steps + int(last["step"])
        seconds += float(last["seconds"])
    told = ", told which elements may occur" if model.network.allowed_input else ""
    sizes = f"{model.network.hidden_dim} channels, {model.network.num_layers} layers"
    rows = [
        ["network", f"{model.network.kind}, {sizes}{told}"],
        ["places for atoms (N_m)", model.width],
        ["training", f"{epochs} epochs, {steps:,} steps, {core_hours:g} core-hours"],
    ]
    for terms, points in parts:
        shown, of = sparse(points), f", {terms}" if terms else ""
        by_hours = (f"{core_hours * one.seconds / seconds:.1f}: {one.loss:.3f}" for one in shown)
        rows.append([f"validation loss by epoch{of}", ", ".join(f"{one.epoch}: {one.loss:.3f}" for one in shown)])
        rows.append([f"validation loss by core-hours{of}", ", ".join(by_hours)])
    return markdown_table(["", ""], rows)


def sparse(points: list[Point]) -> list[Point]:
    """About ten of the points, and the last one; none of none."""
    return [*points[: -1 : max(1, len(points) // 10)], *points[-1:]]


def rates(judged: Path, note: str, cost: str) -> str:
    """Rates under every protocol, with their intervals."""
    record = json.loads((judged / "row.json").read_text(encoding="utf-8"))
    rows = []
    for name, protocol in record["protocols"].items():
        found = [protocol["rates"][rate] for rate in RATES]
        rows.append([name, *(f"{one['value']:.1f} [{one['low']:.1f}, {one['high']:.1f}]" for one in found)])
    counts = record["protocols"][record["headline"]]["counts"]
    ledger = read_crystals(judged / "ledger.jsonl")
    decoded = wilson(counts["decoded"], counts["attempted"]).percent()
    relaxed = wilson(counts["relaxed"], counts["attempted"]).percent()
    steps = [one.num_steps for one in ledger if one.num_steps is not None]
    return (
        f"{counts['attempted']} samples, relaxed by {record['calculator']}, judged on the hull {record['hull']}, novel"
        f" against the training crystals. {note} Percent of all samples, 95 % intervals in brackets.\n\n"
        + markdown_table(["protocol", "metastable", "M.S.U.N.", "stable", "S.U.N."], rows)
        + f"\n\n{decoded.value:.1f} % are crystals at all, {relaxed.value:.1f} % could be relaxed, in"
        f" {sum(steps) / len(steps):.0f} steps on average. {cost}"
    )


def contents(training: list[Crystal], judged: Path) -> str:
    """Sizes, chemistry and symmetry of the relaxed samples beside those of the training crystals."""
    samples = [one for one in read_crystals(judged / "ledger.jsonl") if not one.failure or one.failure.step == "hull"]
    chosen = training[:: max(1, len(training) // 1000)]
    rows = []
    for what, of in {
        "atoms in the cell": lambda one: [one.num_atoms],
        "elements in a crystal": lambda one: [len(one.element_counts)],
        "crystals with the element": lambda one: list(one.element_counts),
        "space groups": lambda one: [space_group(one) or "none found"],
    }.items():
        parts = [(Counter(kind for one in ones for kind in of(one)), len(ones)) for ones in (samples, chosen)]
        rows.append([what, *(told(*part, by_count="atoms" not in what and "elements" not in what) for part in parts)])
    systems = [len({one.chemical_system for one in ones}) for ones in (samples, chosen)]
    rows.append(
        ["chemical systems", *(f"{n} in {len(ones)}" for n, ones in zip(systems, (samples, chosen), strict=True))]
    )
    return markdown_table(["percent of crystals", f"{len(samples)} relaxed samples", "training crystals"], rows)


def told(counts: Counter, total: int, by_count: bool) -> str:
    """Shares of the commonest kinds, or of all in their order, in percent."""
    kinds = counts.most_common(MANY) if by_count else sorted(counts.items())
    return ", ".join(f"{kind}: {100 * number / total:.1f}" for kind, number in kinds)


if __name__ == "__main__":
    main()
