"""The lines of a settings file with their comments, which YAML's readers leave out."""

import re
from pathlib import Path
from typing import NamedTuple

__all__ = ["YamlLine", "read_lines"]

_LINE = re.compile(
    r"""^(?P<indent> *)(?P<key>[\w.]+):(?:\s+(?P<value>"[^"]*"|'[^']*'|[^#\s].*?))?(?:\s+# (?P<comment>.*))?$"""
)


class YamlLine(NamedTuple):
    """`key` is dotted; `value` as it is written, or None for a mapping whose keys follow."""

    key: str
    value: str | None
    comment: str


def read_lines(config: Path) -> list[YamlLine]:
    """The keys of a file of block mappings, in its order. A line that holds only a comment continues that of the key
    above."""
    lines: list[YamlLine] = []
    within: list[tuple[int, str]] = []
    for text in config.read_text(encoding="utf-8").splitlines():
        if lines and text.strip().startswith("# "):
            lines[-1] = lines[-1]._replace(comment=f"{lines[-1].comment} {text.strip()[2:]}".strip())
        elif found := _LINE.match(text):
            indent = len(found["indent"])
            within = [outer for outer in within if outer[0] < indent] + [(indent, found["key"])]
            key = ".".join(name for _, name in within)
            lines.append(YamlLine(key, found["value"], found["comment"] or ""))
    return lines
