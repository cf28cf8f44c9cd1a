"""The command line: `miad STEP --flags`. The flags of a step are the arguments of its `run`."""

import argparse
import functools
import importlib
import inspect
import logging
import os
import re
import signal
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import miad
from miad.config.layout import part_of
from miad.config.resolve import default_config, read_settings
from miad.config.sections import SECTIONS
from miad.core.errors import MiadError
from miad.core.files import is_out_of_space
from miad.core.pipes import ends_quietly
from miad.core.remarks import without_remarks
from miad.machine import gpus
from miad.machine.running import reported
from miad.preflight.checks import check_runs

# {step: (module of the package, help)}; the steps of the chain in their order.
COMMANDS = {
    "generate": ("generate", "generate crystals with a trained model: of any elements, or of yours"),
    "models": ("models", "the models that ship with miad, and their cards"),
    "evaluate": ("evaluate", "S.U.N. of crystals of any origin, from one file or folder"),
    "doctor": ("preflight.doctor", "check that everything a run needs is there, before it starts"),
    "cancel": ("cancel", "end what a killed run has left behind: its Slurm jobs, its processes, its lock"),
    "watch": ("watch", "show the steps that run in a folder: how far they are, and the time left"),
    "import-weights": ("import_weights", "read weights published by the authors"),
    "prototypes": ("prototypes.step", "make the built-in data set again"),
}
CHAIN = {
    "dataset": ("dataset.step", "read, check and standardise the crystals to learn from"),
    "infuse": ("infuse.step", "pad every crystal with mirage atoms into training tensors"),
    "train": ("train.step", "train the joint diffusion model, or continue from its last checkpoint"),
    "sample": ("sample.step", "generate one shard of crystals"),
    "read": ("sample.read", "read crystals of other programs in the place of samples"),
    "relax": ("relax.step", "relax crystals with a machine-learned potential"),
    "hull": ("hull.step", "make the table of reference energies"),
    "sun": ("sun.step", "energy above hull, uniqueness and novelty of relaxed crystals"),
    "dft": ("dft.triage", "choose the crystals for DFT and estimate what they cost"),
    "vasp": ("dft.vasp.step", "DFT double relaxation of one chunk of the chosen crystals"),
    "replay": ("dft.replay", "read DFT calculations that were made elsewhere"),
    "dft-energies": ("dft.energies", "correct and judge the DFT energies, over all attempted samples"),
    "candidates": ("report.candidates", "the S.U.N. crystals and the ledger of a run as CSV, CIF and Parquet"),
    "export": ("report.export", "candidates and samples in the formats of other programs"),
    "metrics": ("metrics.step", "validity, coverage and property distances of the paper's appendix E"),
    "metrics-table": ("metrics.table", "the table of these metrics, beside the published figures"),
    "table": ("report.sun_table", "the table of all runs, beside the published figures"),
    "compare": ("report.compare", "the tables of the paper, and every run's difference to the first"),
    "figures": ("report.figures.step", "the figures, each with the table it is drawn from"),
    "report": ("report.page.step", "the report of all runs as one HTML file"),
}
STEPS = COMMANDS | CHAIN
ANYWHERE = ("metrics",)  # steps of the chain that judge anybody's crystals too, outside a checkout


@ends_quietly()
def main(arguments: list[str] | None = None) -> int:
    """Run one step; the exit code is 0, 2 after a message that a user can act on, or 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Threads that wait for another spin, a millisecond by default: beside other jobs a training was several times
    # slower, because one spun where the other should have run. libgomp reads it when torch loads it.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    step = _parser().parse_args(arguments[:1] or ["--help"]).step
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    try:
        run = importlib.import_module(f"miad.{STEPS[step][0]}").run
        values = parse(step, run, arguments[1:])
        with without_remarks(), gpus.lent() as devices:
            if step == "train" and len(devices) > 1:
                gpus.become_torchrun(len(devices), arguments)
            with reported(step, part_of(step, [value for value in values.values() if isinstance(value, Path)])):
                run(**values)
    except MiadError as error:
        print(f"miad {step}: {error}", file=sys.stderr)
        return MiadError.EXIT_CODE
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None and not is_out_of_space(error):
            print(f"miad {step}: {error.filename}: {error.strerror}. Check the path and its rights.", file=sys.stderr)
            return MiadError.EXIT_CODE
        if not is_out_of_space(error):
            raise
        print(
            f"miad {step}: no space is left, or a quota is exhausted ({error}). Make room and run the same command"
            " again; what was computed before is kept.",
            file=sys.stderr,
        )
        return MiadError.EXIT_CODE
    except KeyboardInterrupt:
        print(f"miad {step}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


def _parser() -> argparse.ArgumentParser:
    groups = {"commands": COMMANDS, "steps of the chain, called by snakemake": CHAIN}
    lists = [
        f"{title}:\n" + "\n".join(f"  {name:<15} {text}" for name, (_, text) in steps.items())
        for title, steps in groups.items()
    ]
    parser = argparse.ArgumentParser(
        prog="miad",
        description=(miad.__doc__ or "").partition("\n")[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n\n".join(
            [*lists, "miad STEP --help explains a step. The whole chain: snakemake results/sun_table.csv"]
        ),
    )
    parser.add_argument("--version", action="version", version=f"miad {miad.__version__}")
    parser.add_argument("step", choices=STEPS, metavar="STEP", help="one of those below")
    return parser


def parse(name: str, run: Callable, arguments: list[str]) -> dict[str, Any]:
    """Turn flags into the keyword arguments of a step's `run`."""
    document = inspect.getdoc(run) or ""
    helps = dict(re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", document, re.MULTILINE))
    parser = argparse.ArgumentParser(prog=f"miad {name}", description=document.split("Args:")[0])
    hints = typing.get_type_hints(run)
    for parameter in inspect.signature(run).parameters.values():
        text = re.sub(r"\s+", " ", helps.get(parameter.name, "")).replace("%", "%%")
        _add_flag(parser, parameter, hints[parameter.name], text)
    values = vars(parser.parse_args(arguments))
    for key, value in values.items():
        if value is None and hints[key] in SECTIONS.values():
            place = default_config() if name in ANYWHERE else "config.yaml"
            values[key] = read_settings(place, hints[key], check_runs)
    return values


def _add_flag(parser: argparse.ArgumentParser, parameter: inspect.Parameter, hint: Any, text: str) -> None:
    """The flag of an argument of `run`: its type makes it a number, a path, several of them, settings or yes/no."""
    optional = type(None) in typing.get_args(hint)
    inner = next((one for one in typing.get_args(hint) if one is not type(None)), hint) if optional else hint
    many = typing.get_origin(inner) is list
    kind = typing.get_args(inner)[0] if many else inner
    is_settings, flag = kind in SECTIONS.values(), "--" + parameter.name.replace("_", "-")
    required = parameter.default is parameter.empty and not is_settings
    if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and not is_settings:
        nargs = "+" if many else None if required else "?"
        name = "PATH" if kind is Path else "NAME"
        default = None if required else parameter.default
        parser.add_argument(parameter.name, type=kind, nargs=nargs, default=default, metavar=name, help=text)
        return
    if kind is bool:
        parser.add_argument(flag, action="store_true", help=text)
        return
    if is_settings:
        section = kind.__name__.lower()
        text = text if optional else f"config file, or JSON of its section {section} (default: ./config.yaml)"
        kind = functools.partial(read_settings, kind=kind, check=check_runs)
    elif not required and parameter.default is not None:
        text = f"{text} (default: {parameter.default})"
    parser.add_argument(
        flag,
        type=kind,
        nargs="+" if many else None,
        required=required,
        default=None if parameter.default is parameter.empty else parameter.default,
        metavar="PATH" if kind is Path else None,
        help=text,
    )


if __name__ == "__main__":
    sys.exit(main())
