"""Trained models that ship with miad, by their names; the folder is `weights` at the top of a checkout."""

import importlib.resources
from pathlib import Path

from miad.config.validation import closest
from miad.core.errors import MiadError

FOLDER = Path(str(importlib.resources.files("miad"))) / "weights"
DEFAULT = "mp20-small"


def names() -> list[str]:
    """Names of the models that ship with this installation."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def card(name: str) -> str:
    """Card of a shipped model, Markdown: data, settings, rates, known failures."""
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def is_shipped(model: str | Path) -> bool:
    """Whether a model is given by the name of a shipped one, and no file of this name is there."""
    return str(model) in names() and not Path(model).is_file()


def located(model: str | Path, key: str = "model") -> Path:
    """The file of a model that is given by the name of a shipped one or by a path; a file of that name comes first.

    Args:
        key: under which it was given, for messages.

    Raises:
        MiadError: neither of the two.
    """
    if not isinstance(model, str | Path):
        raise MiadError(f"{key}: {model!r} is neither a name nor a path. Models that ship: {', '.join(names())}.")
    path = Path(model)
    if path.is_file():
        return path
    if is_shipped(model):
        return FOLDER / f"{model}.safetensors"
    close = closest(str(model), names())
    meant = f" Did you mean {close}?" if close else ""
    raise MiadError(
        f"{key} {model}: there is no such file, and of the models that ship with miad none has this name"
        f" ({', '.join(names()) or 'this installation has none'}).{meant} Train one with: miad train; read published"
        " weights with: miad import-weights."
    )
