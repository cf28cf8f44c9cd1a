"""The runs that a config asks for, and where the results of each of them are."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miad.config.resolve import homes, kept_runs, read_config, resolve


@dataclass(frozen=True)
class Run:
    """One row or more of the tables.

    Attributes:
        name: of the run.
        folder: where all results are, e.g. results.
        sections: its settings, {section: {key: value}, "seed": …}; empty for crystals of other programs.
        homes: for each step, the run in whose folder the results are.
        epoch_of: for a model that was kept on the way, the run that it belongs to.
    """

    name: str
    folder: Path
    sections: dict[str, Any]
    homes: dict[str, str]
    epoch_of: str | None = None

    @property
    def is_external(self) -> bool:
        """Whether other programs made the crystals."""
        return not self.sections

    @property
    def own(self) -> Path:
        """The run's own folder, with its candidates and its ledger."""
        return self.folder / "external" / self.name if self.is_external else self.folder / self.name

    @property
    def rows(self) -> list[Path]:
        """Row files of `miad sun`, one per calculator."""
        return [path / "row.json" for path in self._judged]

    @property
    def verdicts(self) -> list[Path]:
        """Verdicts of `miad sun`, one per calculator."""
        return [path / "verdicts.jsonl" for path in self._judged]

    @property
    def _judged(self) -> list[Path]:
        if self.is_external:
            return [self.own]
        judged = [self.path("sun", calculator) for calculator in self.sections["relax"]["calculators"]]
        # Kept models are not worth DFT.
        has_dft = self.sections["dft"]["enabled"] and self.epoch_of is None
        return judged + ([self.folder / self.homes["vasp"] / "dft"] if has_dft else [])

    @property
    def shards(self) -> range:
        """Numbers of the shards that were sampled."""
        return range(0 if self.is_external else self.sections["sample"]["num_shards"])

    def path(self, step: str, name: str) -> Path:
        """A file or folder of a step, where the run that made it has put it."""
        return self.folder / self.homes[step] / step / name


def runs_of(config: str, folder: Path) -> tuple[list[Run], list[Run]]:
    """The runs of a config, and those of models that were kept on the way.

    Args:
        config: path of a config file, or the config as JSON.
        folder: where the results are.

    Returns:
        The main run, its ablations and crystals of other programs, in this order; then the runs of kept models.

    Raises:
        MiadError: the config has errors.
    """
    settings = json.loads(config) if config.lstrip().startswith("{") else read_config(Path(config))
    asked = resolve(settings)
    kept = kept_runs(asked)
    everything = {**asked, **kept}
    found = homes(everything)

    def run(name: str, epoch_of: str | None = None) -> Run:
        return Run(name, folder, everything[name], {step: of[name] for step, of in found.items()}, epoch_of)

    external = [Run(name, folder, {}, {}) for name in settings.get("external") or {}]
    epochs = {name: kept[name]["sample"]["epoch"] for name in kept}
    return (
        [*(run(name) for name in asked), *external],
        [run(name, name.removesuffix(f"_epoch_{epoch}")) for name, epoch in epochs.items()],
    )
