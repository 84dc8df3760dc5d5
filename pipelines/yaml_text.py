"""YAML as text. The only reader and writer of it.

What is read is not YAML 1.1 as PyYAML has it: see declared.read_scalar. Tags, which could run code, and aliases, of
which a few lines can become gigabytes, are refused."""

from typing import Any

import yaml

from pipelines.declared import Types, read_scalar, types_at

__all__ = ["MISSING", "dump", "parse"]

MISSING, _MARK = object(), "???"
"""The value of a key that a file leaves to whoever runs the job."""
_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "seq", "map")}


def parse(text: str | bytes, types: Types) -> Any:
    """The values in `text`, whose keys are declared as `types`; {} where there is nothing. Raises ValueError."""
    try:
        return _parse(text, types)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("too deeply nested") from None


def dump(values: Any) -> str:
    """Text of which `parse` makes the same values again."""
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000))


def _parse(text: str | bytes, types: Types) -> Any:
    for event in yaml.parse(text, yaml.BaseLoader):
        if isinstance(event, yaml.AliasEvent):  # many of them, nested, are a bomb
            raise _problem(event, "*aliases are not supported; write the value again, or name its key: ${key}")
    node = yaml.compose(text, yaml.BaseLoader)
    return {} if node is None else _value(node, types)


def _value(node: yaml.Node, types: Types) -> Any:
    if node.tag not in _TAGS:
        raise _problem(node, f"the tag {node.tag} is not supported; leave it out")
    if isinstance(node, yaml.SequenceNode):
        return [_value(element, types_at(types, "")) for element in node.value]
    if isinstance(node, yaml.ScalarNode):
        if node.style is not None:
            return str(node.value)
        return MISSING if node.value == _MARK else read_scalar(node.value, types)
    values: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value in values:
            raise _problem(key, "a key that is there already, or is not text")
        values[key.value] = _value(value, types_at(types, key.value))
    return values


def _problem(where: yaml.Node | yaml.Event, what: str) -> yaml.YAMLError:
    return yaml.YAMLError(f"{what}\n{where.start_mark}")


class _Dumper(yaml.SafeDumper):
    """Quotes what `read_scalar` would not take for text."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        plain = text.isprintable() and text != _MARK and read_scalar(text, ()) == text
        style = None if plain else '"'  # in which PyYAML escapes all that is no printable character
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)
