"""The models that ship with miad, and their cards."""

from miad.core.errors import MiadError
from miad.core.tabular import markdown_table
from miad.model import shipped
from miad.model.weights import read_settings


def run(name: str | None = None) -> None:
    """List the models that ship with miad, or print the card of one.

    Args:
        name: of a model, whose card is printed

    Raises:
        MiadError: no model of this name ships with miad.
    """
    if name is None:
        print(listed())
    elif name in shipped.names():
        print(shipped.card(name))
    else:
        raise MiadError(f"no model {name} ships with miad; there are {', '.join(shipped.names())}.")


def listed() -> str:
    """Table of the models: what they have learnt from, the places for atoms of a sample, their size."""
    rows = []
    for name in shipped.names():
        path = shipped.located(name)
        model = read_settings(path)
        rows.append([name, model.origin, model.width, f"{path.stat().st_size / 1e6:.1f} MB"])
    return markdown_table(["model", "trained on", "atoms at most", "size"], rows)
