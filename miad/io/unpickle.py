"""Objects of a pickle as plain records of their state: read, never run."""

from typing import Any


class Record:
    """An object of the pickle as arguments and state, without its methods."""

    arguments: tuple
    state: dict[str, Any]

    def __new__(cls, *arguments: Any) -> "Record":
        """Keep the arguments of the constructor; pickles make most objects without calling __init__."""
        record = super().__new__(cls)
        record.arguments = arguments
        record.state = {}
        return record

    def __init__(self, *arguments: Any) -> None:
        """Nothing is left to do; pickles call this or not."""

    def __setstate__(self, state: Any) -> None:
        """Keep the attributes; those of slots come as a second dict."""
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                self.state.update(part)

    def get(self, *names: str) -> Any:
        """The first of several names under which versions of pymatgen keep an attribute."""
        for name in names:
            if name in self.state:
                return self.state[name]
        raise KeyError(names[0])
