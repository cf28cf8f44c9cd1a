"""Modules that are functions of the Python API too: `miad.relax` is a folder of the package, and can be called."""

import importlib
import inspect
import sys
import types
from typing import Any

from miad.core.errors import MiadError


class _Callable(types.ModuleType):
    """A module whose call is the function of its name in `miad.api`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        name = self.__name__.rpartition(".")[2]
        function = getattr(importlib.import_module("miad.api"), name)
        try:
            inspect.signature(function).bind(*arguments, **options)
        except TypeError as error:
            raise MiadError(f"{name}: {error}. Call it as help(miad.api.{name}) says.") from error
        return function(*arguments, **options)


def make_callable(name: str) -> None:
    """Let a module of miad, which is being imported, be called as the function of the same name in `miad.api`."""
    sys.modules[name].__class__ = _Callable
