"""Checks of the settings of runs that no single key can tell: between sections, and against the user's own files."""

import inspect
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from miad.config.sections import Constraints, Mirage, Relax, Sample, Sun, Train, build
from miad.core.energy_frames import must_match
from miad.core.errors import MiadError
from miad.dataset.step import BUILT_IN
from miad.hull.sources import MATERIALS_PROJECT
from miad.io.download import is_url
from miad.metrics.scaler import CDVAE
from miad.model.shipped import is_shipped
from miad.model.weights import FIRST
from miad.relax.potentials.register import blamed, potential, settings_of
from miad.sample.constraints import targets

OF_EACH_RUN = ("epochs",)  # keys of report that an ablation may set; the others are about all runs together
# Losses of the first process: settings that name these need no look into the registers, which import torch for seconds.
FIRST_LOSSES = {"lattice", "coords", "species"}
MOST_ATOMS = 500  # of a sample without mirage infusion, whose largest size is that of the training crystals


def check_runs(runs: dict[str, dict]) -> None:
    """Check what keys of different sections say together, in all runs of `resolve`, the main run first.

    Raises:
        MiadError: names both keys.
    """
    shared = next(iter(runs.values()))["report"]
    for run, sections in runs.items():
        idle = [key for key in shared if key not in OF_EACH_RUN and sections["report"][key] != shared[key]]
        if idle:
            raise MiadError(
                f"ablations.{run}.report.{idle[0]} would have no effect: there is one report for all runs. Write it"
                f" into the section report itself; an ablation has only {', '.join(OF_EACH_RUN)} of its own."
            )
        for contradiction in contradictions(sections):
            raise MiadError(f"run {run}: {contradiction}")
        relax, sun = build(sections, Relax), build(sections, Sun)
        for calculator in relax.calculators:
            potential(calculator, relax.potentials.get(calculator))
            settings_of(relax, calculator)
        for calculator, frame in frames_compared(sun, relax).items():
            # A hull whose frame is not named here is compared when it is made.
            must_match(f"run {run}: {calculator}", frame, sun.hull.source, sun.hull.energy_frame or frame)
        _check_model(run, build(sections, Train))
        _check_constraints(run, sections)


def _check_model(run: str, train: Train) -> None:
    """Refuse a process or network that there is not, or weights of other losses, before any step has run."""
    names = {"process": train.diffusion.process, "kind": train.network.kind}
    if (names, train.loss_weights.keys()) == (FIRST, FIRST_LOSSES):
        return
    from miad.model import register

    try:
        register.check(train)
    except MiadError as error:
        raise MiadError(f"run {run}: {error}") from error


def _check_constraints(run: str, sections: dict) -> None:
    """Refuse constraints that contradict each other or N_m, before a model is trained for them."""
    constraints = build(sections, Sample).constraints
    if constraints == Constraints():
        return
    try:
        targets(constraints, build(sections, Mirage).num_atoms or MOST_ATOMS)
    except MiadError as error:
        raise MiadError(f"run {run}: {error}") from error


def contradictions(sections: dict) -> Iterator[str]:
    """Keys of one run that contradict each other, each with the remedy."""
    sample, train, dft, sun = (sections[name] for name in ("sample", "train", "dft", "sun"))
    num_timesteps = sections["diffusion"]["num_timesteps"]
    if num_timesteps % sample["stride"]:
        yield (
            f"sample.stride {sample['stride']} does not divide diffusion.num_timesteps {num_timesteps}."
            " Choose a divisor, e.g. 1, 5 or 10."
        )
    if sample["epoch"] is not None and (not train["keep_every"] or sample["epoch"] % train["keep_every"]):
        yield (
            f"sample.epoch {sample['epoch']} is not among the models that train.keep_every ({train['keep_every']})"
            " keeps. Choose a multiple of it, or null for the trained model."
        )
    if sample["num_shards"] > sample["num_crystals"]:
        yield f"sample.num_shards {sample['num_shards']} exceeds sample.num_crystals. Use fewer shards."
    if sun["protocol"] not in sun["protocols"]:
        yield f"sun.protocol {sun['protocol']} is not under sun.protocols ({', '.join(sun['protocols'])})."
    if train["num_epochs"] == 0 and not train["start_from"]:
        yield "train.num_epochs is 0. Name the weights to sample in train.start_from, or train."
    if "dft" in sections["relax"]["calculators"]:
        yield "relax.calculators: dft is the name of the row of DFT in the tables. Give the potential another name."
    if dft["enabled"] and dft["calculator"] not in sections["relax"]["calculators"]:
        yield f"dft.calculator {dft['calculator']} is not among relax.calculators."
    if dft["not_sent"] == "estimate" and dft["subsample"] == 0:
        yield "dft.not_sent: estimate needs crystals to estimate from. Set dft.subsample."


def frames_compared(sun: Sun, relax: Relax) -> dict[str, str]:
    """Energy frame of each calculator, as far as the headline protocol asks that the hull's frame is the same."""
    if sun.protocols[sun.protocol].frames != "must_match":
        return {}
    options = relax.potentials
    return {name: potential(name, options.get(name)).energy_frame for name in relax.calculators}


def _template(run: dict) -> str | None:
    """The structure file that samples keep a part of."""
    template = (run["sample"].get("constraints") or {}).get("template")
    return template and template["file"]


READING = ("dataset", "train", "sample", "hull", "metrics", "vasp", "relax")  # sections that may name files of the user


def own_files(run: dict, reading: Collection[str] = READING) -> dict[str, list[str]]:
    """The user's own files that a run reads, by section: local paths, neither URLs nor what is built in.

    Those of the potentials are under `relax.` and the name of the calculator. Finished calculations, and
    crystals of other programs, may be a folder.

    Raises:
        MiadError: one of them does not exist.
    """
    hull, start = run["hull"], run["train"]["start_from"]
    named = {
        "dataset": {f"dataset.files.{name}": path for name, path in run["dataset"]["files"].items()},
        "train": {"train.start_from": None if is_shipped(start) else start},
        "sample": {
            **{f"{key} under external": run["sample"].get(key) for key in ("crystals", "generated")},
            "sample.constraints.template.file": _template(run),
        },
        "hull": {
            "hull.source": None if hull["source"] in ("dataset", BUILT_IN, MATERIALS_PROJECT) else hull["source"],
            "hull.references": hull["references"],
        },
        "metrics": {"metrics.scaler": None if run["metrics"]["scaler"] == CDVAE else run["metrics"]["scaler"]},
        "vasp": {"vasp.replay": run["vasp"]["replay"] if run["dft"]["enabled"] else None},
    }
    found: dict[str, list[str]] = {}
    for section in [section for section in named if section in reading]:
        local = {key: path for key, path in named[section].items() if path and not is_url(path)}
        for key, path in local.items():
            if section == "dataset" and os.path.isdir(path):
                raise MiadError(
                    f"{key}: {path} is a folder. A data set is a CSV file with a column `cif` (and `material_id`):"
                    " write the CIFs of the folder into one, and give its path in config.yaml."
                )
            # os.path, because pathlib raises errors of its own of names that no file can have.
            if not (os.path.exists(path) if section in ("vasp", "sample") else os.path.isfile(path)):
                raise MiadError(f"{key}: {path} is not a file in {Path.cwd()}. Correct the path in config.yaml.")
        found[section] = list(local.values())
    for calculator in run["relax"]["calculators"] if "relax" in reading else ():
        chosen = potential(calculator, run["relax"]["potentials"].get(calculator))
        source = Path(inspect.getfile(type(chosen)))
        of_class = [source.name] if source.parent == Path.cwd() else []  # beside config.yaml
        with blamed(calculator):
            found[f"relax.{calculator}"] = [*of_class, *(str(path) for path in chosen.files())]
    return found


def check_out(out: Path, inputs: Iterable[Path], writes: Iterable[str], marks: Iterable[str], *, by: str) -> None:
    """Refuse a folder in which results would take the place of what the user has: an input, or files of theirs.

    Args:
        out: the folder.
        inputs: files and folders that are read.
        writes: names of what is written there.
        marks: names of which one is there if the same command has written to it before.
        by: who has not written what is there, for the message.

    Raises:
        MiadError: an input is, or lies in, what is to be written; or miad has not written what is there.
    """
    places = [(out / name).resolve() for name in writes]
    for path in (Path(one).resolve() for one in inputs):
        if any(path == one or one in path.parents for one in places):
            raise MiadError(f"--out {out}: the results would take the place of {path.name}. Give another --out.")
    theirs = [one for one in places if one.exists()]
    if theirs and not any((out / mark).exists() for mark in marks):
        raise MiadError(
            f"--out {out} holds {theirs[0].name}, which {by} and the results would replace. Give another --out."
        )
