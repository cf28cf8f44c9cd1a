"""The register of machine-learned potentials; miad/relax/potentials/potential.py says how to add one."""

import contextlib
import dataclasses
import importlib
import inspect
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from miad.config.sections import Relax
from miad.config.validation import validated
from miad.core.energy_frames import FRAMES
from miad.core.errors import MiadError
from miad.relax.potentials.potential import Potential

POTENTIALS = {
    "chgnet": "miad.relax.potentials.chgnet:Chgnet",
    "eqv2": "miad.relax.potentials.eqv2:Eqv2",
}  # name: module:class
_OF_RELAX = {field.name for field in dataclasses.fields(Relax)} - {"calculators", "potentials"}


def potential(name: str, options: dict[str, Any] | None = None) -> Potential:
    """The potential of that name.

    Args:
        name: a key of `POTENTIALS`, or any name whose options have a `class`.
        options: its entry in `relax.potentials`.

    Raises:
        MiadError: there is none, it cannot be imported, or an option is missing or unknown.
    """
    options = {key: value for key, value in (options or {}).items() if key not in _OF_RELAX}
    where = options.pop("class", POTENTIALS.get(name))
    if where is None:
        raise MiadError(
            f"calculator {name} is not one of {', '.join(POTENTIALS)}. Correct relax.calculators (of crystals of other"
            f" programs: external) in config.yaml, or say under relax.potentials which class it is: {name}: {{class:"
            " 'module:Class'}."
        )
    module, _, attribute = where.partition(":")
    here = str(Path.cwd())
    if not {"", here} & set(sys.path):  # python -m looks there by itself, the command `miad` does not
        sys.path.append(here)
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        raise MiadError(
            f"relax.potentials.{name}.class: {where} cannot be imported ({type(error).__name__}: {error}). It is"
            " module:Class; the module has to lie beside config.yaml or be installed."
        ) from error
    if not (inspect.isclass(kind) and issubclass(kind, Potential)):
        raise MiadError(f"relax.potentials.{name}.class: {where} is no subclass of {Potential.__module__}.Potential.")
    try:
        inspect.signature(kind).bind(**options)
    except TypeError as error:
        known = ", ".join([*inspect.signature(kind).parameters, *sorted(_OF_RELAX)])
        raise MiadError(f"relax.potentials.{name}: {error}. Known keys: {known}.") from error
    with blamed(name):
        chosen = kind(**options)
        frames = (chosen.native_frame, chosen.energy_frame)
    if not set(frames) <= set(FRAMES):
        raise MiadError(
            f"relax.potentials.{name}: {where} has energies of the frames {', '.join(map(str, frames))}; known are"
            f" {', '.join(FRAMES)}. Correct native_frame or energy_frame of the class."
        )
    return chosen


@contextlib.contextmanager
def blamed(name: str) -> Iterator[None]:
    """Whatever a potential raises within becomes an error that names its entry.

    Raises:
        MiadError: with the type and the text of what was raised, and the line that raised it.
    """
    try:
        yield
    except MiadError:
        raise
    except (Exception, SystemExit) as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise MiadError(
            f"relax.potentials.{name}: its class fails with {type(error).__name__}: {error} ({place.filename}, line"
            f" {place.lineno}). Mend the class, or its entry."
        ) from error


def check(settings: Relax, name: str) -> None:
    """Refuse a potential that there is not, that has odd settings, or whose files are absent, before it is needed."""
    chosen = potential(name, settings.potentials.get(name))
    settings_of(settings, name)
    with blamed(name):
        chosen.files()


def settings_of(settings: Relax, name: str) -> Relax:
    """The settings of relax for one potential: its own entry lies over the common keys."""
    own = {key: value for key, value in settings.potentials.get(name, {}).items() if key in _OF_RELAX}
    return validated(Relax, dataclasses.asdict(settings) | own, section=f"relax.potentials.{name}" if own else "relax")
