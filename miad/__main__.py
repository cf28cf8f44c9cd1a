"""The command line: `miad STEP --flags`. The flags of a step are the arguments of its `run`."""

import argparse
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
from miad.config.resolve import read_settings
from miad.config.sections import SECTIONS
from miad.core.errors import MiadError
from miad.core.files import is_out_of_space
from miad.machine import gpus

# One line per step, in the order of the chain.
STEPS = {
    "dataset": "read, check and standardise the crystals to learn from",
    "infuse": "pad every crystal with mirage atoms into training tensors",
    "train": "train the joint diffusion model, or continue from its last checkpoint",
    "sample": "generate one shard of crystals",
    "relax": "relax crystals with a machine-learned potential",
    "hull": "make the table of reference energies",
    "sun": "energy above hull, uniqueness and novelty of relaxed crystals",
    "dft": "choose the crystals for DFT and estimate what they cost",
    "vasp": "DFT double relaxation of one chunk of the chosen crystals",
    "replay": "read DFT calculations that were made elsewhere",
    "dft-energies": "correct and judge the DFT energies, over all attempted samples",
    "evaluate": "S.U.N. of crystals of any origin, from one file or folder",
    "candidates": "the S.U.N. crystals and the ledger of a run as CSV, CIF and Parquet",
    "export": "candidates and samples in the formats of other programs",
    "metrics": "validity, coverage and property distances of the paper's appendix E",
    "metrics-table": "the table of these metrics, beside the published figures",
    "report": "the table of all runs, beside the published figures",
    "compare": "the tables of the paper, and every run's difference to the first",
    "figures": "the figures, each with the table it is drawn from",
    "page": "the report of all runs as one HTML file",
    "cancel": "end what a killed run has left behind: its Slurm jobs, its processes, its lock",
    "doctor": "check that everything a run needs is there, before it starts",
    "import-weights": "read weights published by the authors",
    "prototypes": "make the built-in data set again",
}
# Steps whose module is not `miad.{step}.step`.
MODULES = {
    "dft": "dft.triage",
    "vasp": "dft.vasp.step",
    "replay": "dft.replay",
    "dft-energies": "dft.energies",
    "evaluate": "evaluate",
    "candidates": "report.candidates",
    "export": "report.export",
    "metrics-table": "metrics.table",
    "report": "report.sun_table",
    "compare": "report.compare",
    "figures": "report.figures.step",
    "page": "report.page.step",
    "cancel": "cancel",
    "doctor": "preflight.doctor",
    "import-weights": "import_weights",
    "prototypes": "prototypes",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one step; the exit code is 0, 2 after a message that a user can act on, or 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Threads that wait for another spin, a millisecond by default: beside other jobs a training was several times
    # slower, because one spun where the other should have run. libgomp reads it when torch loads it.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    parser = argparse.ArgumentParser(
        prog="miad",
        description=miad.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="steps:\n"
        + "\n".join(f"  {name:<15} {text}" for name, text in STEPS.items())
        + "\n\nmiad STEP --help explains a step. The whole chain: snakemake results/sun_table.csv",
    )
    parser.add_argument("--version", action="version", version=f"miad {miad.__version__}")
    parser.add_argument("step", choices=STEPS, metavar="STEP", help="what to do, see below")
    chosen = parser.parse_args(arguments[:1])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    try:
        step = importlib.import_module(f"miad.{MODULES.get(chosen.step, chosen.step + '.step')}")
        values = parse(chosen.step, step.run, arguments[1:])
        with gpus.lent() as devices:
            if chosen.step == "train" and len(devices) > 1:
                gpus.become_torchrun(len(devices), arguments)
            step.run(**values)
    except MiadError as error:
        print(f"miad {chosen.step}: {error}", file=sys.stderr)
        return MiadError.EXIT_CODE
    except Exception as error:
        if not is_out_of_space(error):
            raise
        print(
            f"miad {chosen.step}: no space is left, or a quota is exhausted ({error}). Make room and run the same"
            " command again; what was computed before is kept.",
            file=sys.stderr,
        )
        return MiadError.EXIT_CODE
    except KeyboardInterrupt:
        print(f"miad {chosen.step}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


def parse(name: str, run: Callable, arguments: list[str]) -> dict[str, Any]:
    """Turn flags into the keyword arguments of a step's `run`."""
    document = inspect.getdoc(run) or ""
    helps = dict(re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", document, re.MULTILINE))
    parser = argparse.ArgumentParser(prog=f"miad {name}", description=f"{STEPS[name]}. {document.split('Args:')[0]}")
    hints = typing.get_type_hints(run)
    for parameter in inspect.signature(run).parameters.values():
        hint, text = hints[parameter.name], re.sub(r"\s+", " ", helps.get(parameter.name, ""))
        optional = type(None) in typing.get_args(hint)
        inner = next((a for a in typing.get_args(hint) if a is not type(None)), hint) if optional else hint
        many = typing.get_origin(inner) is list
        kind = typing.get_args(inner)[0] if many else inner
        required = parameter.default is inspect.Parameter.empty
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and kind not in SECTIONS.values():
            parser.add_argument(parameter.name, type=kind, nargs="+" if many else None, metavar="FILE", help=text)
            continue
        if kind is bool:
            parser.add_argument("--" + parameter.name.replace("_", "-"), action="store_true", help=text)
            continue
        if kind in SECTIONS.values():
            required, kind = False, _settings_of(kind)
            text = text if optional else "JSON of this step's settings, or a config file (default: ./config.yaml)"
        elif not required and parameter.default is not None:
            text = f"{text} (default: {parameter.default})"
        parser.add_argument(
            "--" + parameter.name.replace("_", "-"),
            type=kind,
            nargs="+" if many else None,
            required=required,
            default=None if parameter.default is inspect.Parameter.empty else parameter.default,
            metavar="FILE" if kind is Path else None,
            help=text.replace("%", "%%"),
        )
    values = vars(parser.parse_args(arguments))
    for key, value in values.items():
        if value is None and hints[key] in SECTIONS.values():
            values[key] = _settings_of(hints[key])("config.yaml")
    return values


def _settings_of(kind: type) -> Callable[[str], Any]:
    def settings(text: str) -> Any:
        return read_settings(text, kind)

    return settings


if __name__ == "__main__":
    sys.exit(main())
