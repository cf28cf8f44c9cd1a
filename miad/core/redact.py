"""Settings and messages for the eyes of others: without passwords, and without the folders of whoever ran miad."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HIDDEN = "(hidden)"
# Words of keys whose values are not shown; of the first ones no value may stand in config.yaml at all.
_WORDS = "password|passwd|pwd|passphrase|secret|token|apikey|api key|credentials?"
_SECRET_KEY = re.compile(rf"\b({_WORDS})\b")
_PRIVATE_KEY = re.compile(rf"\b({_WORDS}|keys?|ur[il]|dsn|host|hostname|hosts|user|username|auth)\b")
# Of URLs: what stands before the host, and values such as those of ?token=…; a path on the web may hold an @ too.
_LOGIN = re.compile(r"(?:(?<=http://)|(?<=https://))[^\s/'\"]*@|(?<=://)(?<!http://)(?<!https://)[^\s'\"]*@")
_QUERY = re.compile(rf"([?&][^=&\s]*(?:{_WORDS}|key|sig)[^=&\s]*=)[^&#\s'\"]+", re.IGNORECASE)
# /one/or/more/folders/name, also after ~ or ../; a part of a URL is none, nor is 1/2.
_PLACE = re.compile(
    r"(?<![\w./~…)@-])(?:file:/{0,2}|~[\w.-]*|(?:\.\./)*\.\.)?/(?:[^\s/'\"<>|:,;()]+/)+([^\s/'\"<>|:,;()]*)"
)


def _words(key: str) -> str:
    """The words of a key, small: `mongoURI` and `api_key` are `mongo uri` and `api key`."""
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", str(key))).lower()


def is_private(key: str) -> bool:
    """Whether the value of a key is not shown: a password, or where and as whom one logs in."""
    return _PRIVATE_KEY.search(_words(key)) is not None


def without_secrets(text: str) -> str:
    """A text whose URLs have lost names, passwords and tokens."""
    return _QUERY.sub(rf"\1{HIDDEN}", _LOGIN.sub(f"{HIDDEN}@", text))


def shown(text: str) -> str:
    """The same, and of paths that lead through folders of this machine only the name, behind `…/`."""
    for place, instead in ((Path.cwd, ""), (Path.home, "~/")):
        try:
            folder = str(place())
        except (OSError, RuntimeError):  # there is none
            continue
        if len(Path(folder).parts) > 1:
            text = re.sub(rf"(?<![\w/]){re.escape(folder)}(?:/|(?![\w.-]))", instead or "", text)
    return _PLACE.sub(lambda found: f"…/{found[1]}", without_secrets(text))


def redacted(value: Any) -> Any:
    """Settings as they are shown: private values are hidden, and all text is as `shown`."""
    if isinstance(value, dict):
        return {k: HIDDEN if is_private(k) and v is not None else redacted(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(redacted(one) for one in value)
    return shown(value) if isinstance(value, str) else value


def secrets_in(value: Any, key: str = "") -> Iterator[str]:
    """The keys, `section.key`, whose values are passwords or hold one."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from secrets_in(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from secrets_in(inner, key)
    elif isinstance(value, str) and (_LOGIN.search(value) or _SECRET_KEY.search(_words(key.rpartition(".")[2]))):
        yield key
