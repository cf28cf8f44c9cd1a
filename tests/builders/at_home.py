"""Users of whom the system knows no home folder."""

import pwd

import pytest


def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process be that of a user without account and settings, as some containers and schedulers start one."""

    def no_account(user: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {user}")

    for name in ("HOME", "MIAD_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_account)
