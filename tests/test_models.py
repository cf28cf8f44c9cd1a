"""The list of models that ship, and their cards."""

import pytest

from miad.__main__ import main
from miad.model import shipped


def test_the_list_names_every_model(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split("|")[1].strip() for line in lines] == shipped.names()


@pytest.mark.parametrize("name", shipped.names())
def test_the_card_of_a_model_is_printed(name, capsys):
    assert main(["models", name]) == 0
    assert capsys.readouterr().out.rstrip("\n") == shipped.card(name).rstrip("\n")


def test_there_is_no_card_of_what_does_not_ship(capsys):
    assert main(["models", "../config"]) == 2
    assert "no model ../config ships with miad; there are mp20-small" in capsys.readouterr().err
