"""The schema for editors: made of the sections, and current."""

import jsonschema
import pytest
import yaml

from miad.config.resolve import read_config
from miad.config.schema import schema
from miad.config.sections import SECTIONS, own_keys
from tests.builders import ROOT
from tests.builders.config import put, shipped

PATH = ROOT / "workflow" / "schemas" / "config.schema.yaml"


def test_the_schema_is_current():
    remedy = f"Make it again: python -m miad.config.schema > {PATH.relative_to(ROOT)}"
    assert yaml.safe_load(PATH.read_text(encoding="utf-8")) == schema(), remedy


def test_the_schema_knows_the_keys_of_all_sections_and_no_others():
    definitions = schema()["$defs"]
    for name, kind in SECTIONS.items():
        assert set(definitions[name]["properties"]) == set(own_keys(kind)), name
        assert definitions[name]["additionalProperties"] is False
    assert set(definitions["run"]["properties"]) == {"seed", *SECTIONS}


@pytest.mark.parametrize("odd", [("train", "learning_rat", 1.0), ("sample", "stride", 0), ("scale", "huge")])
def test_editors_find_what_the_program_refuses(odd):
    validator = jsonschema.Draft202012Validator(schema())
    assert not list(validator.iter_errors(read_config(ROOT / "config.yaml")))
    assert list(validator.iter_errors(put(shipped(), *odd)))
