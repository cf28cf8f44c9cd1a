"""Choices of elements for the places of a structure type."""

from miad.prototypes.decorations import combine


def test_choices_are_all_pairs():
    assert list(combine("Fe Co", "O S")) == [("Fe", "O"), ("Fe", "S"), ("Co", "O"), ("Co", "S")]
