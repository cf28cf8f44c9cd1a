"""config.yaml as a whole: its type, of which the schema for editors is made.

python -m miad.config.schema > workflow/schemas/config.schema.yaml
"""

import functools
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.json_schema import GenerateJsonSchema

from miad.config.fields import Checksum, Fmax, Frame, MaxSteps, Memory, Name, Natural, Text
from miad.config.sections import SECTIONS, own_keys
from miad.config.validation import STRICT, validated
from miad.core.errors import MiadError
from miad.core.redact import secrets_in

Seed = Annotated[Natural, Field(description="Seed of all random numbers.")]
Required: Any = Field()
LeftOpen: Any = Field(default_factory=type(None))


class Potential(BaseModel):
    """An entry of relax.potentials; what else is in it are arguments of the class, and keys of relax."""

    model_config = ConfigDict(strict=True, extra="allow")
    kind: str = Field(
        alias="class",
        default_factory=str,
        pattern=r"^[A-Za-z0-9_.]+:[A-Za-z0-9_]+$",
        description="Class of the potential, module:Class.",
    )


class Eqv2(Potential):
    """The entry of eqV2."""

    checkpoint: Annotated[str | None, Field(description="Path of the weights, eqV2_153M_omat_mp_salex.pt.")] = LeftOpen
    checksum: Annotated[Checksum | None, Field(description="Of the weights.")] = LeftOpen
    mode: Annotated[
        Literal["relaxed", "as_paper"],
        Field(description="Cell and positions, energies corrected; or fixed cell, nothing corrected."),
    ] = LeftOpen
    fmax: Fmax = LeftOpen
    max_steps: MaxSteps = LeftOpen
    memory: Memory = LeftOpen


class Potentials(BaseModel):
    """The entries of relax.potentials by the names of the calculators."""

    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")], Potential]
    eqv2: Eqv2 = LeftOpen


class External(BaseModel):
    """Crystals of another program."""

    model_config = STRICT
    crystals: Text = Field(description="Extended XYZ, CIF, folder or zip of CIFs, CSV, Parquet, JSON or JSON lines.")
    calculator: Annotated[Text, Field(description="Relaxes them; not used if all carry energies.")] = LeftOpen
    energy_frame: Annotated[Frame, Field(description="Frame of the energies that they carry.")] = LeftOpen
    generated: Annotated[Text, Field(description="The same crystals before relaxation.")] = LeftOpen
    column: Annotated[Text, Field(description="Of a table, the column that holds the crystals.")] = LeftOpen


@functools.cache
def block(kind: Any) -> Any:
    """A block with the keys of a section, each of which it may leave open."""
    hints = {key: Potentials if key == "potentials" else _open(hint) for key, hint in own_keys(kind).items()}
    return _model(kind.__name__.lower(), kind.__doc__, {key: (hint, LeftOpen) for key, hint in hints.items()})


def _model(name: str, about: str, fields: dict[str, Any]) -> Any:
    return create_model(name, __config__=STRICT, __doc__=about, **fields)


def _open(hint: Any) -> Any:
    """A type whose blocks within may leave keys open, as in an entry of `ablations`."""
    if hasattr(hint, "__pydantic_fields__"):
        return block(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return Annotated[_open(arguments[0]), *arguments[1:]]
    return _entries(arguments[0], _open(arguments[1])) if origin is dict else hint


def _entries(name: Any, entry: Any) -> Any:
    return types.GenericAlias(dict, (name, entry))


SECTION_BLOCKS = {name: (block(kind), LeftOpen) for name, kind in SECTIONS.items()}
RECIPES: Any = Annotated[
    _entries(str, block(SECTIONS["train"]) | None) | None, Field(description="Named sets of keys of train.")
]
SCALE = _model(
    "scale", "Values of one scale, and changes of the recipes there.", SECTION_BLOCKS | {"recipes": (RECIPES, LeftOpen)}
)
RUN = _model("run", "Changes of a further run; of report only epochs.", SECTION_BLOCKS | {"seed": (Seed, LeftOpen)})
CONFIG = _model(
    "config",
    "Every key with its unit, type and range. The values and the reasons for them are in config.yaml.",
    SECTION_BLOCKS
    | {
        "run": (Annotated[Name, Field(description="Name of the main run.")], Required),
        "seed": (Seed, Required),
        "scale": (
            Annotated[Literal["laptop", "small", "paper"], Field(description="The block that fills in open keys.")],
            Required,
        ),
        "laptop": (SCALE | None, Required),
        "small": (SCALE | None, LeftOpen),
        "paper": (SCALE | None, Required),
        "recipes": (RECIPES, Required),
        "external": (_entries(Name, External) | None, LeftOpen),
        "ablations": (_entries(Name, RUN | None) | None, LeftOpen),
    },
)


def checked(config: dict) -> dict:
    """A config whose keys are known and whose values have their types and ranges; text that means numbers became them.

    Raises:
        MiadError: names each key, what is wrong with it, and the remedy; one is wrong that holds a password.
    """
    found = validated(CONFIG, config).model_dump(by_alias=True, exclude_unset=True)
    for key in secrets_in(found):
        raise MiadError(
            f"config.yaml: {key} holds a password, which command lines, logs and snakemake's records would show to"
            " others. Take it out of there, change it if others have seen it, and let what needs it read an environment"
            " variable or a file that only you can read."
        )
    return found


def checked_sections(given: dict, kinds: Iterable[type]) -> dict:
    """Some keys of these sections, by the names of the sections, as `checked` makes them of a config.

    Raises:
        MiadError: another section, or a key that is unknown, of the wrong type or out of its range.
    """
    names = [kind.__name__.lower() for kind in kinds]
    blocks = _model("settings", "Changes of sections.", {name: SECTION_BLOCKS[name] for name in names})
    return validated(blocks, given, origin="--settings").model_dump(by_alias=True, exclude_unset=True)


class _WithoutTitles(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        """Titles of fields would only repeat their names."""
        return False


def schema() -> dict[str, Any]:
    """The JSON schema of config.yaml."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **CONFIG.model_json_schema(schema_generator=_WithoutTitles),
    }


if __name__ == "__main__":
    import sys

    import yaml

    yaml.safe_dump(schema(), sys.stdout, sort_keys=False, allow_unicode=True, width=120)
