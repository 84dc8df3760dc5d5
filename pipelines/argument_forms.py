"""Arguments that were typed in another form than key=value, or that the shell has split."""

import re
import shlex
from collections.abc import Sequence

from pipelines.errors import SettingsError

__all__ = ["refuse_other_forms", "refuse_split"]

_SETTING = re.compile(r"[\w.-]+=")
_CLOSING = {"{": "}", "[": "]"}


def refuse_split(arguments: Sequence[str]) -> None:
    """data.mixture={clean: 1.0} without quotes reaches a job as two arguments. Raises SettingsError."""
    for number, argument in enumerate(arguments):
        _, equals, value = argument.partition("=")
        if not equals or value[:1] not in _CLOSING or _is_closed(value):
            continue
        whole = argument
        for rest in arguments[number + 1 :]:
            if _SETTING.match(rest) or rest.startswith("--"):
                break
            whole += f" {rest}"
            if _is_closed(whole.partition("=")[2]):
                quoted = shlex.quote(whole)
                raise SettingsError(f"{argument}: the shell has split it at its spaces; put it in quotes: {quoted}")


def refuse_other_forms(arguments: Sequence[str], wrong: str) -> None:
    """The first of `arguments` that is no setting, `wrong`, is told as one: --epochs 3, epochs 3, epochs:3 and
    epochs = 3 are epochs=3. Raises SettingsError."""
    found = re.fullmatch(r"(?P<dashes>-{0,2})(?P<name>[A-Za-z][\w.-]*)(?:\s*[=:\s]\s*(?P<value>.+))?", wrong)
    if found is None:
        return
    name = found["name"].replace("-", "_") if found["dashes"] else found["name"]
    after = [one for one in arguments[arguments.index(wrong) + 1 :] if one != "="]
    following = after[0] if after and not _SETTING.match(after[0]) and not after[0].startswith("-") else "…"
    what = "settings are given without dashes: " if found["dashes"] else "expected key=value: "
    raise SettingsError(f"{wrong}: {what}{name}={found['value'] or following}")


def _is_closed(value: str) -> bool:
    return all(value.count(opening) == value.count(closing) for opening, closing in _CLOSING.items())
