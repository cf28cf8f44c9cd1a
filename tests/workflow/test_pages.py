"""The pages of the site: the reference holds what the program has, and links lead to where the pages are laid out."""

import re
import runpy

import pytest

from miad.__main__ import STEPS
from miad.config.sections import SECTIONS, own_keys
from miad.sample.elements import GROUPS
from tests.builders import ROOT

PAGES = runpy.run_path(str(ROOT / "docs" / "pages.py"))


@pytest.mark.parametrize("name", SECTIONS)
def test_the_reference_has_every_key_of_a_section(name):
    [table] = re.findall(rf"^## {name} {{#{name}}}\n(.*?)(?=^## )", PAGES["sections"](), re.MULTILINE | re.DOTALL)
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(own_keys(SECTIONS[name]))


def test_types_and_values_stand_beside_a_key():
    text = PAGES["sections"]()
    assert "| `fmax` | number > 0, ≤ 10 | `0.1` | eV/Å; limit of forces and cell gradient. |" in text
    assert (
        "| `constraints` | [sample.constraints](#sample-constraints) |  | Conditions that every sample fulfils. |"
        in text
    )


def test_blocks_below_a_section_are_called_by_their_keys():
    heads = dict(re.findall(r"^## (.+) \{#(.+)\}$", PAGES["sections"](), re.MULTILINE))
    assert heads["sample.constraints.num_atoms"] == "sample-constraints-num_atoms"
    assert heads["relax.potentials.eqv2"] == "relax-potentials-eqv2"
    assert {"laptop, small, paper", "an entry of ablations", "an entry of sample.constraints.compositions"} <= set(
        heads
    )


def test_links_between_blocks_lead_to_headings():
    text = PAGES["sections"]()
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= set(re.findall(r"^## .+ \{#(.+)\}$", text, re.MULTILINE))


def test_the_reference_has_the_help_of_every_command():
    text = PAGES["commands"]()
    assert re.findall(r"^usage: miad ([\w-]+)", text, re.MULTILINE) == list(STEPS)
    assert "--num-atoms NUM_ATOMS" in text


def test_the_guide_has_every_group_of_elements():
    assert re.findall(r"^\| `(\w+)` \|", PAGES["generated"]("<!-- groups -->"), re.MULTILINE) == list(GROUPS)


def test_links_follow_the_pages():
    text = "[a](faq.md) [b](../config.yaml) [c](notebook.ipynb#x) [d](https://a.b/c.md) [e](#f)"
    moved = "[a](faq.md) [b](repository/config.yaml) [c](notebook.md#x) [d](https://a.b/c.md) [e](#f)"
    assert PAGES["moved"](ROOT / "docs" / "index.md", text) == moved
    out = PAGES["moved"](ROOT / "results" / "README.md", "[a](../docs/sun.md#protocols)")
    assert out == "[a](../../sun.md#protocols)"


def test_the_notebook_is_shown_with_its_outputs():
    text = PAGES["from_notebook"](ROOT / "docs" / "notebook.ipynb")
    assert "import miad" in text and text.count("data:image/png;base64,") == 1 and "<th>e_above_hull</th>" in text
    assert "<style" not in text and 'class="dataframe"' not in text
