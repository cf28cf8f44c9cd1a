"""The map of results/: where each file of each step of each run lies. Rules write there, and the report reads there."""

import re
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from miad.config.resolve import from_json, homes, is_read, kept_runs, read_config, read_runs, resolve
from miad.core.errors import MiadError
from miad.core.json_text import as_json

# {step: {file: where it lies, as a pattern below the folder of all results}}. Logs and what a step keeps for itself
# (checkpoints, archives of DFT) are not here: no other step reads them.
FILES: dict[str, dict[str, str]] = {
    "dataset": {split: f"{{run}}/dataset/{split}.jsonl.gz" for split in ("train", "val", "test")},
    "infuse": {split: f"{{run}}/infuse/{split}.safetensors" for split in ("train", "val")},
    "train": {
        "model": "{run}/train/model.safetensors",
        "readable": "{run}/train/model.json",
        "losses": "{run}/train/losses.csv",
    },
    "sample": {
        "crystals": "{run}/sample/{shard}.jsonl",
        "trajectories": "{run}/sample/{shard}.trajectories.safetensors",
        "given": "{run}/sample/{shard}.given.jsonl",  # of crystals of other programs: as they came, energies included
    },
    "relax": {"relaxed": "{run}/relax/{calculator}/{shard}.jsonl"},
    "hull": {"hull": "{run}/hull/entries.csv.gz"},
    "sun": {
        "ledger": "{run}/sun/{calculator}/ledger.jsonl",
        "verdicts": "{run}/sun/{calculator}/verdicts.jsonl",
        "row": "{run}/sun/{calculator}/row.json",
    },
    "metrics": {"metrics": "{run}/metrics/metrics.json", "crystals": "{run}/metrics/crystals.csv"},
    "dft": {
        "queue": "{run}/dft/queue.jsonl",
        "plan": "{run}/dft/plan.json",
        "costs": "{run}/dft/queue.csv",
        "excluded": "{run}/dft/excluded.csv",
        "relaxed": "{run}/dft/relaxed.jsonl",
        "ledger": "{run}/dft/ledger.jsonl",
        "verdicts": "{run}/dft/verdicts.jsonl",
        "row": "{run}/dft/row.json",
        "energies": "{run}/dft/energies.csv",
    },
    "vasp": {"calculations": "{run}/vasp/chunks/{chunk}.jsonl"},
    "candidates": {
        "candidates": "{run}/candidates.csv",
        "cif": "{run}/cif",
        "ledger_csv": "{run}/ledger.csv",
        "ledger_parquet": "{run}/ledger.parquet",
    },
    "export": {"export": "{run}/export"},
    "table": {"table": "sun_table.csv", "readable": "sun_table.md"},
    "metrics_table": {"table": "metrics.csv", "readable": "metrics.md"},
    "compare": {"tables": "tables"},
    "figures": {"figures": "figures"},
    "report": {"report": "report.html"},
}
# The settings that the steps at the end read, by their keys: those that decide what comes out, not how fast it does.
_DECIDING = ("seed", "dataset", "mirage", "diffusion", "network", "train", "sample", "relax", "hull", "sun")
SETTINGS_READ: dict[str, tuple[str, ...]] = {
    "compare": (*_DECIDING, "dft.enabled", "report.published"),
    "figures": (
        "mirage.num_atoms",
        "train.num_epochs",
        "sample.epoch",
        "sample.num_shards",
        "relax.calculators",
        "dft.enabled",
    ),
    "report": (*_DECIDING, "metrics", "dft", "vasp.functional", "vasp.replay", "report.title", "report.max_viewed"),
}
_FILES_OF = {"read": "sample", "dft-energies": "dft"}  # steps that write the files of another one
_OF_THE_MACHINE = ("workers", "device", "checkpoint_minutes")  # keys left out of these


@dataclass(frozen=True)
class Run:
    """One run: one row or more of the tables.

    The sections of crystals of other programs are those of the main run, but for `sample`, which says where they were
    read, and the calculator.
    """

    name: str
    folder: Path  # of all results
    sections: dict[str, Any]  # {section: {key: value}, "seed": …}
    homes: dict[str, str]  # {step: the run in whose folder its results are}: runs share what they have in common
    epoch_of: str | None = None  # of a model that was kept on the way: the run that it belongs to

    @property
    def rows(self) -> list[Path]:
        """Row files, one per calculator, DFT last."""
        return self.judged("row")

    @property
    def verdicts(self) -> list[Path]:
        """Verdicts of every protocol, in the order of the rows."""
        return self.judged("verdicts")

    @property
    def has_dft(self) -> bool:
        """Whether the best crystals go to DFT; kept models are not worth it."""
        return self.sections["dft"]["enabled"] and self.epoch_of is None

    @property
    def shards(self) -> range:
        """Numbers of the shards of samples."""
        return range(self.sections["sample"]["num_shards"])

    def judged(self, file: str) -> list[Path]:
        """A file of `miad sun` (row, ledger, verdicts) for each calculator, and of DFT if that is enabled."""
        return self.files("sun", file) + (self.files("dft", file) if self.has_dft else [])

    def path(self, step: str, name: str) -> Path:
        """A file or folder of a step by its name, where the run that made it has put it."""
        return self.folder / self.homes[step] / step / name

    def file(self, step: str, file: str, **known: Any) -> Path:
        """A file of FILES of which this run has one, but for what is `known`."""
        [found] = self.files(step, file, **known)
        return found

    def files(self, step: str, file: str, **known: Any) -> list[Path]:
        """A file of FILES where it lies for this run; for each shard, calculator and chunk, unless one is `known`."""
        pattern = FILES[step][file]
        fields = [name for _, name, _, _ in string.Formatter().parse(pattern) if name and name != "run"]
        values = {
            "shard": lambda: self.shards,
            "calculator": lambda: self.sections["relax"]["calculators"],
            "chunk": lambda: range(self.sections["vasp"]["num_chunks"]),
        }
        choices = [[known[name]] if name in known else values[name]() for name in fields]
        home = self.homes.get(step, self.name)
        return [
            self.folder / pattern.format(run=home, **dict(zip(fields, chosen, strict=True)))
            for chosen in product(*choices)
        ]


def part_of(step: str, paths: Iterable[Path]) -> str:
    """Part of the work that a process of a step does, by the files that it was given: `miad/chgnet/0`.

    These are the run, the calculator, the shard and the chunk, as far as the names of the step's files have them.
    """
    patterns = [re.escape(pattern) for pattern in FILES.get(_FILES_OF.get(step, step), {}).values()]
    patterns = [re.sub(r"\\{(shard|chunk)\\}", r"(?P<\1>\\d+)", pattern) for pattern in patterns]
    patterns = [re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", pattern) for pattern in patterns]
    for path, pattern in product(paths, patterns):
        if found := re.search(f"(?:^|/){pattern}$", path.as_posix()):
            return "/".join(found.groupdict().values())
    return ""


def runs_of(text: str, folder: Path) -> tuple[list[Run], list[Run]]:
    """The runs of a config, and those of models that were kept on the way.

    Args:
        text: path of a config file, the config as JSON, or what `record` makes of its runs.
        folder: of all results.

    Returns:
        The main run, its ablations and crystals of other programs, in this order; then the runs of kept models.

    Raises:
        MiadError: the config has errors.
    """
    given = from_json(text, "--runs") if text.lstrip().startswith("{") else read_config(Path(text))
    if "runs" not in given:
        return runs_of_config(given, folder)
    try:
        runs, kept = ([Run(folder=folder, **one) for one in given[part]] for part in ("runs", "kept"))
    except (TypeError, KeyError) as error:
        raise MiadError(f"--runs is not what a rule gives ({error!r}). Give --runs config.yaml.") from error
    return runs, kept


def runs_of_config(config: dict, folder: Path) -> tuple[list[Run], list[Run]]:
    """The same of a config as it was read."""
    asked = resolve(config)
    given = read_runs(config, next(iter(asked.values())))
    epochs = kept_runs(asked, given)
    everything = {**asked, **given, **epochs}
    found = homes(everything)

    def run(name: str, epoch_of: str | None = None) -> Run:
        return Run(name, folder, everything[name], {step: of[name] for step, of in found.items()}, epoch_of)

    return (
        [run(name) for name in everything if name not in epochs],
        [run(name, name.removesuffix(f"_epoch_{epochs[name]['sample']['epoch']}")) for name in epochs],
    )


def record(step: str, runs: Iterable[Run], kept: Iterable[Run] = ()) -> str:
    """The runs as JSON for `--runs` of a step at the end, with no other settings than those that it reads."""

    def told(run: Run) -> dict[str, Any]:
        sections = _picked(run.sections, SETTINGS_READ[step])
        return {"name": run.name, "sections": sections, "homes": run.homes, "epoch_of": run.epoch_of}

    return as_json({"runs": [told(run) for run in runs], "kept": [told(run) for run in kept]})


def _picked(sections: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """The sections and single keys (`section.key`) that are named, without what only describes the machine."""
    found: dict[str, Any] = {}
    for section, value in sections.items():
        single = [key.partition(".")[2] for key in keys if key.startswith(f"{section}.")]
        if section in keys:
            is_inner = isinstance(value, dict)
            found[section] = {k: v for k, v in value.items() if k not in _OF_THE_MACHINE} if is_inner else value
        elif single:
            found[section] = {key: value[key] for key in single}
    return found


def table_rows(runs: list[Run]) -> list[tuple[str, Path]]:
    """(run, row file) for each row of the table: potentials, then DFT, then crystals of other programs."""
    own = [run for run in runs if not is_read(run.sections)]
    found = [(run.name, path) for run in own for path in run.files("sun", "row")]
    found += [(run.name, path) for run in own if run.has_dft for path in run.files("dft", "row")]
    return found + [(run.name, path) for run in runs if is_read(run.sections) for path in run.rows]


def read_by(step: str, runs: list[Run], kept: list[Run]) -> list[Path]:
    """Every file that a step at the end reads: `metrics_table`, `compare`, `figures` or `report`."""
    return list(dict.fromkeys(_read_by(step, runs, kept)))


def _read_by(step: str, runs: list[Run], kept: list[Run]) -> Iterator[Path]:
    if step == "metrics_table":
        for run in [*runs, *kept]:
            yield from run.files("metrics", "metrics")
    if step == "compare":
        for run in runs:
            yield from run.rows + run.verdicts
    if step == "figures":
        for run in [*runs, *kept]:
            yield from run.rows + run.verdicts
        for run in runs:
            for part, file in (("candidates", "candidates"), ("candidates", "ledger_csv"), ("train", "losses")):
                yield from run.files(part, file)
            yield from run.files("sample", "trajectories") + run.files("sample", "crystals")
    if step == "report":
        folder = runs[0].folder
        yield from (folder / FILES[part][file] for part, file in (("table", "table"), ("compare", "tables")))
        yield folder / FILES["figures"]["figures"]
        for run in runs:
            yield from run.rows + run.verdicts + run.judged("ledger")
            for file in ("candidates", "cif", "ledger_csv"):
                yield from run.files("candidates", file)
            # Their checksums are in the report.
            yield from run.files("dataset", "train") + run.files("hull", "hull") + run.files("train", "model")
