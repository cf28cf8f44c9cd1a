"""Settings: one frozen dataclass per section of config.yaml; each field has its type, range, unit and meaning.

A field named like another section (`Train.mirage`) or like a key of the top level (`Train.seed`) takes its value
from there, so that each fact is written once and each step is rerun only when something that it reads has changed.
The values and the reasons for them are in config.yaml, how they become the settings of each run in resolve.py.
"""

import typing
from typing import Any, TypeVar

from miad.config.dft import Dft, Vasp
from miad.config.judging import Hull, Metrics, Protocol, Relax, Report, Sun
from miad.config.learning import Dataset, Diffusion, Mirage, Network, Train, Unreadable
from miad.config.sampling import Constraints, Elements, Formula, NumAtoms, Sample, Template
from miad.config.validation import adapter, validated
from miad.core.json_text import as_json

# The classes stand in learning.py, sampling.py, judging.py and dft.py; all others import them from here.
__all__ = [
    "SECTIONS",
    "UPSTREAM",
    "Constraints",
    "Dataset",
    "Dft",
    "Diffusion",
    "Elements",
    "Formula",
    "Hull",
    "Metrics",
    "Mirage",
    "Network",
    "NumAtoms",
    "Protocol",
    "Relax",
    "Report",
    "Sample",
    "Section",
    "Sun",
    "Template",
    "Train",
    "Unreadable",
    "Vasp",
    "build",
    "from_record",
    "own_keys",
    "settings_json",
    "without_defaults",
]

Section = TypeVar("Section")
SECTIONS: dict[str, type] = {
    kind.__name__.lower(): kind
    for kind in (
        Unreadable,
        Dataset,
        Mirage,
        Diffusion,
        Network,
        Train,
        Sample,
        Relax,
        Hull,
        Sun,
        Metrics,
        Dft,
        Vasp,
        Report,
    )
}
_DFT = ["dataset", "train", "sample", "relax", "hull", "sun", "dft", "vasp"]
# The sections that the results of a step depend on; runs that agree in them share the results.
UPSTREAM: dict[str, list[str]] = {
    "dataset": ["dataset"],
    "infuse": ["dataset", "mirage"],
    "train": ["dataset", "train"],
    "sample": ["dataset", "train", "sample"],
    "relax": ["dataset", "train", "sample", "relax"],
    "hull": ["dataset", "hull"],
    "sun": ["dataset", "train", "sample", "relax", "hull", "sun"],
    "metrics": ["dataset", "train", "sample", "metrics"],
    "dft": _DFT,  # vasp, because it says which elements have a pseudopotential
    "vasp": _DFT,
}


def own_keys(kind: type) -> dict[str, Any]:
    """{key: type} of what is written under a section itself: neither other sections nor the seed."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {key: hint for key, hint in hints.items() if hint not in SECTIONS.values() and key != "seed"}


def build(run: dict, kind: type[Section]) -> Section:
    """One section from the settings of a run, as `resolve` returns them.

    Raises:
        MiadError: a key is missing, unknown, of the wrong type or out of its range.
    """
    return validated(kind, _values(run, kind), section=kind.__name__.lower())


def _values(run: dict, kind: type) -> dict[str, Any]:
    """The keys of a section and, below them, those of the sections that it holds."""
    values = dict(run.get(kind.__name__.lower()) or {})
    for key, hint in typing.get_type_hints(kind).items():
        if hint in SECTIONS.values():
            values[key] = _values(run, hint)
        elif key == "seed":
            values[key] = run["seed"]
    return values


def settings_json(run: dict, name: str) -> str:
    """One section as JSON, for a rule's `params`: a changed value reruns only what depends on it.

    A field that has its default is left out, so that one which a later version adds does not train again.
    """
    return as_json(without_defaults(build(run, SECTIONS[name])), sort_keys=True)


def without_defaults(section: Any) -> dict[str, Any]:
    """The values of a section, defaults left out, those of inner sections too."""
    kind: Any = type(section)
    return adapter(kind).dump_python(section, exclude_defaults=True)


def from_record(kind: type[Section], record: Any) -> Section:
    """The inverse of `dataclasses.asdict` for sections and other pydantic dataclasses.

    Raises:
        MiadError: a key is missing, unknown, of the wrong type or out of its range.
    """
    return validated(kind, record, section=kind.__name__.lower(), origin="settings")
