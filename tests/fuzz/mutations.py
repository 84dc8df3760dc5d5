"""Random changes of bytes and of JSON values, as bad disks, bad copies and hostile senders make them."""

import copy
from typing import Any

import numpy as np

__all__ = ["ODD_TEXTS", "mutate_bytes", "mutate_json"]

ODD_NUMBERS = (0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63)
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**9, 2**63, 1e308, -0.5, float("nan"), float("inf"), "", "x", "../../x", "\0",
    "é" * 300, [], {}, [[]], {"kind": "x"}, [0] * 50,
)  # fmt: skip
ODD_TEXTS = (
    "", "null", "~", "~x", "[]", "{}", "[", "{a: ", "true", "yes", "0x10", "1e999", "-1", "nan", ".inf", "2026-11-27",
    "!!python/name:os.system", "*a", "&a [*a]", "${a.b}", "${oc.env:HOME}", "\\${x}", "???", "s3://", "file:///x",
    "a: b: c", "'", '"', "\t", "\0", "é", "#", "[1,2,", "{kind: x}", "[clean,clean]", "10000000000000000000000", "0.5",
    "../..", "a=b", "|", ">", "- x", "<<: x", "%", "@", "`",
)  # fmt: skip


def mutate_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """The data after one to eight changes."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        changed = _CHANGES[int(rng.integers(len(_CHANGES)))](changed, rng)
    return bytes(changed)


def _place(data: bytearray, rng: np.random.Generator) -> int:
    """Half of all places are in the first 64 or the last 64 bytes, where headers and footers are."""
    where = int(rng.integers(4))
    if where == 0:
        return int(rng.integers(min(len(data), 64) + 1))
    if where == 1:
        return len(data) - int(rng.integers(min(len(data), 64) + 1))
    return int(rng.integers(len(data) + 1))


def _flip(data: bytearray, rng: np.random.Generator) -> bytearray:
    place = _place(data, rng)
    if place < len(data):
        data[place] ^= 1 << int(rng.integers(8))
    return data


def _set(data: bytearray, rng: np.random.Generator) -> bytearray:
    place = _place(data, rng)
    if place < len(data):
        data[place] = int(rng.integers(256))
    return data


def _number(data: bytearray, rng: np.random.Generator) -> bytearray:
    width = int(rng.choice([1, 2, 4, 8]))
    value = ODD_NUMBERS[int(rng.integers(len(ODD_NUMBERS)))] % 2 ** (8 * width)
    place = _place(data, rng)
    data[place : place + width] = value.to_bytes(width, "little" if rng.integers(2) else "big")
    return data


def _cut(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: _place(data, rng)]


def _drop(data: bytearray, rng: np.random.Generator) -> bytearray:
    place = _place(data, rng)
    del data[place : place + int(rng.integers(1, 33))]
    return data


def _insert(data: bytearray, rng: np.random.Generator) -> bytearray:
    place = _place(data, rng)
    data[place:place] = rng.bytes(int(rng.integers(1, 33)))
    return data


def _repeat(data: bytearray, rng: np.random.Generator) -> bytearray:
    start, place = _place(data, rng), _place(data, rng)
    data[place:place] = data[start : start + int(rng.integers(1, 257))]
    return data


_CHANGES = (_flip, _flip, _set, _set, _number, _cut, _drop, _insert, _repeat)


def mutate_json(value: Any, rng: np.random.Generator) -> Any:
    """A copy with one to three places changed: other values, keys and items removed, doubled or added."""
    changed = copy.deepcopy(value)
    for _ in range(int(rng.integers(1, 4))):
        holder, key = _random_place(changed, rng)
        what = int(rng.integers(4))
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, dict):
            holder[f"{key}x"] = holder[key]
        elif what == 2 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
            holder[key] = holder[key] + int(rng.choice([-1, 1, 1000]))
        else:
            holder[key] = copy.deepcopy(ODD_VALUES[int(rng.integers(len(ODD_VALUES)))])
        if not changed:
            break
    return changed


def _random_place(value: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    places: list[tuple[Any, Any]] = []

    def collect(holder: Any) -> None:
        items = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, inner in items:
            places.append((holder, key))
            if isinstance(inner, dict | list):
                collect(inner)

    collect(value)
    return places[int(rng.integers(len(places)))]
