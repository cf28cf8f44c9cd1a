"""The claim of the paper at scale `small`: MiAD against DiffCSP, fewer mirage atoms, and an unmasked loss.

    python benchmarks/ablations.py --train train.jsonl --val val.jsonl --hull hull.csv.gz --out OUT [ARM …]

The crystals are those of `miad dataset` at the scale `small`. Every arm is trained with the same number of gradient
steps; the arms whose steps are cheaper are trained a second time (`…_long`), for as many seconds as MiAD took on the
same machine. Then each is sampled, relaxed and judged by all protocols. What an earlier call has finished stays in OUT
and is not computed again; Markdown tables of what there is are printed, with the differences from MiAD and their
95 % intervals. Run it with one thread (OMP_NUM_THREADS=1, MIAD_CORES=1) on a core of its own, so that seconds compare.
"""

import argparse
import csv
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
MIAD = "miad"
VARIANTS = {  # overrides of config.yaml
    MIAD: {},
    "diffcsp": {"mirage": {"num_atoms": None}},
    "num_atoms_8": {"mirage": {"num_atoms": 8}},
    "unmasked": {"mirage": {"mask_loss": False}},
}
LONG = "_long"
ARMS = (*VARIANTS, *(name + LONG for name in ("diffcsp", "num_atoms_8")))
RATES = ("metastable", "msun", "stable", "sun")


def main() -> None:
    """Compute what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("train", "val", "hull", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--until", choices=("train", "judge"), default="judge", help="the last step to be taken")
    parser.add_argument("arms", nargs="*", default=ARMS, metavar="ARM", help=f"of {', '.join(ARMS)}; all if left out")
    options = parser.parse_args()
    for arm in options.arms:
        folder = options.out / arm
        trained(arm, folder, options)
        if options.until == "judge":
            judged(arm, folder, options)
    print(tables(options.out))


def run_of(arm: str, epochs: int, samples: int) -> dict:
    """The complete settings of an arm."""
    import yaml

    from miad.config.resolve import merge, resolve

    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    own = {"scale": "small", "run": arm, "train": {"num_epochs": epochs}, "network": {"allowed_input": False}}
    own |= {"sample": {"num_crystals": samples, "num_shards": 1, "record": 0}}
    return resolve(merge(merge(config, own), VARIANTS[arm.removesuffix(LONG)]))[arm]


def call(*words: object) -> None:
    """A command of miad, as a process of its own."""
    subprocess.run([sys.executable, "-m", "miad", *map(str, words)], cwd=ROOT, check=True)


def trained(arm: str, folder: Path, options: argparse.Namespace) -> None:
    """Train an arm unless it is; a long one for the seconds of MiAD."""
    from miad.config.resolve import settings_json

    if (folder / "model.safetensors").exists():
        return
    epochs = options.epochs
    if arm.endswith(LONG):
        per_epoch = seconds(options.out / arm.removesuffix(LONG)) / options.epochs
        epochs = round(seconds(options.out / MIAD) / per_epoch)
    folder.mkdir(parents=True, exist_ok=True)
    run = run_of(arm, epochs, options.samples)
    files = {f"--infused-{split}": folder / f"{split}.safetensors" for split in ("train", "val")}
    words = [word for pair in files.items() for word in pair]
    call("infuse", "--train", options.train, "--val", options.val, *words, "--settings", settings_json(run, "mirage"))
    ends = ["--model", folder / "model.safetensors", "--losses", folder / "losses.csv", "--run", arm]
    words = [word.replace("infused-", "") if isinstance(word, str) else word for word in words]
    call("train", *words, *ends, "--settings", settings_json(run, "train"))


def judged(arm: str, folder: Path, options: argparse.Namespace) -> None:
    """Sample an arm and judge the samples, unless that is done."""
    from miad.config.resolve import settings_json

    crystals, run = folder / "samples.jsonl", run_of(arm, options.epochs, options.samples)
    if not crystals.exists():
        settings = ["--settings", settings_json(run, "sample"), "--run", arm]
        call("sample", "--model", folder / "model.safetensors", "--crystals", crystals, "--shard", 0, *settings)
    if not (folder / "judged" / "sun_table.csv").exists():
        known = ["--train", options.train, "--hull", options.hull, "--protocols", "all", "--run", arm]
        call("evaluate", crystals, *known, "--out", folder / "judged", "--settings", ROOT / "config.yaml")


def curve(folder: Path) -> list[dict]:
    """The epochs of a training."""
    with open(folder / "losses.csv") as file:
        return list(csv.DictReader(file))


def seconds(folder: Path) -> float:
    """Seconds of training."""
    return float(curve(folder)[-1]["seconds"])


def rows_of(folder: Path) -> dict[str, dict]:
    """{protocol: row of the table} of an arm that has been judged."""
    with open(folder / "judged" / "sun_table.csv") as file:
        return {row["protocol"]: row for row in csv.DictReader(file) if row["protocol"] in ("strict", "as_paper")}


def tables(out: Path) -> str:
    """The tables of rates and of differences, Markdown."""
    from miad.core.statistics import difference
    from miad.core.tabular import interval, markdown_table, rate_of

    found = {arm: rows_of(out / arm) for arm in ARMS if (out / arm / "judged" / "sun_table.csv").exists()}
    rates, differences = [], []
    for arm, rows in found.items():
        epochs = curve(out / arm)
        for protocol, row in rows.items():
            own = {name: rate_of(row, f"{name}_percent") for name in RATES}
            line = {"arm": arm, "steps": epochs[-1]["step"], "minutes": f"{float(epochs[-1]['seconds']) / 60:.1f}"}
            rates.append(line | {"protocol": protocol} | {name: interval(rate) for name, rate in own.items()})
            if arm != MIAD and MIAD in found:
                ours = {name: rate_of(found[MIAD][protocol], f"{name}_percent") for name in RATES}
                cells = {name: interval(difference(own[name], ours[name])) for name in RATES}
                differences.append({"MiAD minus": arm, "protocol": protocol} | cells)
    return "\n\n".join(
        markdown_table(list(part[0]), [list(row.values()) for row in part]) for part in (rates, differences) if part
    )


if __name__ == "__main__":
    main()
