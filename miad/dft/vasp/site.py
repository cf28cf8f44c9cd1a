"""Checks of a site for VASP: the programs, the pseudopotentials, a scratch folder."""

import os
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

from miad.config.sections import Vasp

CONTAINERS = ("apptainer", "singularity", "docker", "podman", "podman-hpc", "shifter")  # what follows is inside
FOLDERS = {"PBE": "POT_GGA_PAW_PBE", "PBE_52": "POT_GGA_PAW_PBE_52", "PBE_54": "POT_GGA_PAW_PBE_54"}


def problems(settings: Vasp, elements: Iterable[str]) -> list[str]:
    """Everything that is missing for calculations with these elements, each with its remedy; empty if all is there."""
    found = (
        problem_of_command("command", settings.command),
        problem_of_gamma(settings),
        problem_of_potcars(settings, elements),
        problem_of_scratch(settings),
    )
    return [problem for problem in found if problem]


def problem_of_command(key: str, command: str) -> str | None:
    """Reason why a command cannot be run, or None; both the launcher and the program must be there.

    Of a container only its runtime is looked for: the program is inside.
    """
    words = shlex.split(os.path.expandvars(command))
    runtimes = [word for word in words if Path(word).name in CONTAINERS]
    absent = [word for word in (words[:1] + (runtimes[:1] or words[-1:])) if shutil.which(word) is None]
    if not absent:
        return None
    return f"vasp.{key}: {absent[0]} is not on the PATH. Load VASP's module, or write its path into config.yaml."


def problem_of_gamma(settings: Vasp) -> str | None:
    """Reason why the command of the Γ-only VASP, if there is one, cannot be run as the other one is, or None."""
    if settings.gamma_command is None:
        return None
    if (problem := problem_of_command("gamma_command", settings.gamma_command)) is not None:
        return problem
    first, second = (shlex.split(os.path.expandvars(one)) for one in (settings.command, settings.gamma_command))
    if (len(first) > 1) == (len(second) > 1):
        return None
    with_launcher, without = ("command", "gamma_command") if len(first) > 1 else ("gamma_command", "command")
    launcher = " ".join(max(first, second, key=len)[:-1])
    return (
        f"vasp.{with_launcher} has a launcher ({launcher}), vasp.{without} has none: it would run beside the cores that"
        " the launcher has. Write it before both programs, or set vasp.gamma_command to null."
    )


def potcar_folder(settings: Vasp) -> Path | None:
    """Folder of the pseudopotentials of the chosen version; None if neither config.yaml nor pymatgen names one."""
    from pymatgen.core import SETTINGS

    root = settings.potcars or SETTINGS.get("PMG_VASP_PSP_DIR")
    return None if root is None else Path(os.path.expandvars(root)).expanduser() / FOLDERS[settings.functional]


def potcar_symbol(settings: Vasp, element: str) -> str:
    """The pseudopotential that MPRelaxSet takes for an element, e.g. Fe_pv."""
    from pymatgen.io.vasp.sets import MPRelaxSet

    if settings.functional == "PBE_54" and element == "W":
        return "W_sv"  # as MPRelaxSet chooses: this version has no W_pv
    return MPRelaxSet.CONFIG["POTCAR"].get(element, element)


def without_potcar(settings: Vasp, elements: Iterable[str]) -> list[str]:
    """Elements for which there is no pseudopotential of MPRelaxSet: crystals with them come to no energy on the hull.

    Where MPRelaxSet takes another one for want of its own (W_sv for W_pv), MP2020 refuses the finished calculation.
    """
    from pymatgen.io.vasp.sets import MPRelaxSet

    own = MPRelaxSet.CONFIG["POTCAR"]
    return sorted(one for one in elements if one not in own or potcar_symbol(settings, one) != own[one])


def problem_of_potcars(settings: Vasp, elements: Iterable[str]) -> str | None:
    """The pseudopotentials that are missing, with the remedy, or None."""
    folder = potcar_folder(settings)
    if folder is None or not folder.is_dir():
        return (
            f"vasp.potcars: there is no folder {folder or 'of pseudopotentials'}. Set it to the folder that holds"
            f" {FOLDERS[settings.functional]} in pymatgen's layout (`pmg config -p VASP_POTCARS FOLDER` makes it from"
            " VASP's own)."
        )
    symbols = [potcar_symbol(settings, element) for element in sorted(elements)]
    absent = [symbol for symbol in symbols if not _is_there(folder, symbol)]
    if absent:
        return f"vasp.potcars: {folder} lacks {', '.join(absent)}. Add them from VASP's archive of pseudopotentials."
    return None


def scratch_folder(settings: Vasp) -> Path | None:
    """The scratch folder, variables of the job filled in; None: there is none."""
    return None if settings.scratch is None else Path(os.path.expandvars(settings.scratch)).expanduser().absolute()


def problem_of_scratch(settings: Vasp) -> str | None:
    """Reason why the scratch folder cannot be used, or None."""
    folder = scratch_folder(settings)
    if folder is None or (folder.is_dir() and os.access(folder, os.W_OK)):
        return None
    return f"vasp.scratch: {folder} is no folder that can be written to. Correct it in config.yaml, or set it to null."


def _is_there(folder: Path, symbol: str) -> bool:
    names = (f"POTCAR.{symbol}", f"{symbol}/POTCAR")
    return any((folder / f"{name}{packed}").is_file() for name in names for packed in ("", ".gz", ".bz2", ".Z"))
