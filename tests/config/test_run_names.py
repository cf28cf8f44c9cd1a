"""Names of runs: letters, digits and underscores, each once, and none of a folder that holds something else."""

import pytest

from miad.config.run_names import TAKEN, check_names
from miad.core.errors import MiadError


def test_names_that_can_be_folders_and_rows_pass():
    check_names({"run": "miad", "ablations": {"no_mirage": {}, "25": None}, "external": {"theirs": {}}})
    check_names({"ablations": None, "external": 3})  # what else is wrong with them is said elsewhere


@pytest.mark.parametrize(
    ("config", "words"),
    [
        *(({"run": name}, f"results/{name} is a folder of its own") for name in TAKEN),
        *(({"run": "a", "ablations": {name: {}}}, f"ablations: results/{name}") for name in TAKEN),
        *(({"run": "a", "external": {name: {}}}, f"external: results/{name}") for name in TAKEN),
        ({"run": 20}, "run: 20 cannot be the name of a run.*quotes"),
        ({"run": "a", "external": {"a b": {}}}, "external: 'a b' cannot be"),
        ({"run": "a", "ablations": {"a": {}}}, "ablations.a has the name of the main run"),
        (
            {"run": "a", "ablations": {"b": {}}, "external": {"b": {}}},
            "external.b has the name of a run under ablat",
        ),
    ],
)
def test_other_names_are_refused(config, words):
    with pytest.raises(MiadError, match=words):
        check_names(config)
