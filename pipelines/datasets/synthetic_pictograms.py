"""The pictograms of the synthetic signs, each with the forms that stand along German roads."""

from pipelines.datasets.synthetic_shapes import (
    Area,
    Shapes,
    Stroke,
    arc,
    arrow_head,
    at,
    disc,
    lines,
    mirrored,
    moved,
    turned,
)

__all__ = [
    "AHEAD",
    "AHEAD_OR_RIGHT",
    "ATTENTION",
    "BICYCLE",
    "BUMPS",
    "CHILDREN",
    "CROSSING_AHEAD",
    "CURVE",
    "DEER",
    "DOUBLE_CURVE",
    "KEEP_RIGHT",
    "LIGHTS",
    "LORRY_FROM_THE_SIDE",
    "NARROW_RIGHT",
    "NO_ENTRY",
    "PEDESTRIAN",
    "RIGHT",
    "ROAD_WORK",
    "ROUNDABOUT",
    "SLIPPERY",
    "SNOWFLAKE",
    "STRIPES",
    "car",
    "lorry",
]


def car(colour: str, middle: float, ground: float = 63) -> Shapes:
    """A car from behind."""
    body: Shapes = (
        *(Stroke(at(text), 1.8, colour) for text in ("-10,-11 -7.2,-19", "10,-11 7.2,-19", "-7.2,-19 7.2,-19")),
        Area(at("-11,-11.5 11,-11.5 11.8,-10 11.8,-4.5 -11.8,-4.5 -11.8,-10"), colour, 0.7),
        *(Area(at(f"{x},-6 {x + 4},-6 {x + 4},0 {x},0"), colour, 0.3) for x in (-10.8, 6.8)),
    )
    return moved(body, lambda place: place + complex(middle, ground))


def lorry(colour: str, middle: float, ground: float = 65) -> Shapes:
    """A lorry from behind."""
    body: Shapes = (
        Area(at("-10.5,-30 10.5,-30 10.5,-4.5 -10.5,-4.5"), colour, 0.8),
        *(Area(at(f"{x},-6 {x + 5},-6 {x + 5},0 {x},0"), colour, 0.3) for x in (-10.5, 5.5)),
    )
    return moved(body, lambda place: place + complex(middle, ground))


STRIPES: Shapes = tuple(Stroke(((20 + d, 80 + d), (80 + d, 20 + d)), 2.7) for d in (-6.2, -3.1, 0, 3.1, 6.2))
NO_ENTRY: Shapes = (Area(at("12,41 88,41 88,59 12,59"), "white"),)
ATTENTION: tuple[Shapes, ...] = (
    (Area(at("46.2,34 53.8,34 52,63 48,63"), rounding=1.2), disc("50,71.5", 8)),
    (Area(at("45.5,38 54.5,38 52.5,62 47.5,62"), rounding=1), disc("50,71", 8.5)),
)
CROSSING_AHEAD: tuple[Shapes, ...] = (
    (Area(at("50,39 63,50 57.5,50 57.5,75 50,69.5 42.5,75 42.5,50 37,50")), Area(at("34,57 66,57 66,61 34,61"))),
    (Area(at("50,38 61,50 55,50 55,76 45,76 45,50 39,50")), Area(at("35,58 65,58 65,63 35,63"))),
)
CURVE: tuple[Shapes, ...] = (
    (
        Stroke(at("58,70 58,65 56.5,61.5 53,58.5 48,57 44,56.8"), 9.5),
        Area(at("53.2,68 62.8,68 63.5,75.5 58,72.5 53,75.5")),
        Area(at("33,56.5 41,49.5 46,49.5 46,63.5 42,63.5")),
    ),
    (Stroke(at("58,76 58,64 47,53"), 8), Area(at("38,44 53,46 40,59"))),
)
DOUBLE_CURVE: tuple[Shapes, ...] = (
    (Area(at("51,75 51,62.5 41.5,66.5 41.5,47 37,46 44.5,37 51,46 49,46.5 49,54.5 59,50.5 60,52 60,75 55.5,72")),),
    (Stroke(at("55,76 55,61 46,58 46,46"), 8.5), Area(at("38,47 45,37 54,47"))),
)
BUMPS: tuple[Shapes, ...] = (
    (Area(at("27,74.5 29,71.5 34,66 38,63.5 42,64.5 47,69.5 50,71 53,69.5 58,64.5 62,63.5 66,66 71,71.5 73,74.5")),),
    (Area(at("25,76 28,72 34,64 38,61.5 42,63 47,70 50,71.5 53,70 58,63 62,61.5 66,64 72,72 75,76")),),
)
SKIDS: Shapes = lines(2.4, "34,67 42,66 45,69 38,72.5 44,75.5", "50,66 59,66.5 60,69.5 54,72.5 66,75")
SLIPPERY: tuple[Shapes, ...] = (
    (
        *lines(2.6, "39,51 40.5,43 57,41 61,48.5"),
        Area(at("37.5,51.5 62,48.5 63.5,57.5 39,60.5"), rounding=0.8),
        *(Area(at(f"{x},{y} {x + 5},{y - 0.6} {x + 5},{y + 4.4} {x},{y + 5}")) for x, y in ((39.5, 59.5), (58, 57.5))),
        *SKIDS,
    ),
    (
        Area(at("44,43 55,40 61,48 42,52"), rounding=1),
        Area(at("39,53 61,48 63,56 42,61"), rounding=1),
        *lines(2.8, "44,63 49,67 42,71 47,76", "58,63 63,67 56,71 61,76"),
    ),
)
NARROW_RIGHT: tuple[Shapes, ...] = (
    (
        Area(at("41,39 47,39 47,75 41,75")),
        Area(at("52.5,39 58,39 58,54 64,61 64,75 58,75 58,64 52.5,57")),
    ),
    lines(5, "42,75 42,43", "62,75 62,68 54,57 54,43"),
)
ROAD_WORK: tuple[Shapes, ...] = (
    (
        disc("52.5,44", 7),
        *lines(7.5, "48.5,50.5 42.5,60"),
        *lines(4.6, "41.5,61 39,68 33.5,75", "42.5,61 46.5,67 47.5,75"),
        *lines(3.2, "49.5,50 53,57 50,61", "46,52 44,58 48,62"),
        *lines(2, "43,57 62,68.5"),
        Area(at("51,76 60,66.5 65,64.5 70,67 79,76")),
    ),
    (
        disc("46,43", 8),
        *lines(7, "45,50 41,61"),
        *lines(4, "41,62 43,68 38,76", "41,62 49,68 49,76", "46,50 51,57 57,56"),
        *lines(2, "47,51 66,65"),
        Area(at("54,77 62,67 67,65 77,77")),
    ),
)
LIGHTS: Shapes = (disc("50,43", 11, "red"), disc("50,56.5", 11, "yellow"), disc("50,70", 11, "green"))
WALKER: Shapes = (
    disc("50.5,39", 7.5),
    Area(at("47,45.5 54,45.5 53.5,60 47,60"), rounding=1.5),
    *lines(4.4, "49,60 46,68 41.5,75.5", "51.5,60 55,67 58,75.5"),
    *lines(3.2, "47,47 41.5,53.5 43.5,60", "54,47 59.5,53 58,59"),
)
ZEBRA: Shapes = tuple(Area(at(f"{x},73 {x + 4},73 {x + 2},77 {x - 2},77")) for x in (29, 37, 61, 69))
PEDESTRIAN: tuple[Shapes, ...] = (WALKER, mirrored(WALKER), (*WALKER, *ZEBRA), (*mirrored(WALKER), *ZEBRA))
TWO_CHILDREN: Shapes = (
    *(disc("51.5,44", 7.5), disc("38,53.5", 6.5)),
    *lines(6.5, "54,51 55.5,59"),
    *lines(5.5, "38.5,60 39.5,65"),
    *lines(4, "55,60 51,67 47.5,75", "56,60 62,66 68.5,74"),
    *lines(3.4, "38.5,66 35.5,70 35,76", "40,66 43,70 41,76"),
    *lines(3, "53,50 47,55 43.5,60", "55,50 61,55 65,55", "37.5,59 32,62.5", "39.5,59 44,61.5"),
)
CHILDREN: tuple[Shapes, ...] = (TWO_CHILDREN, TWO_CHILDREN, mirrored(TWO_CHILDREN))
BIKE: Shapes = (
    *(Stroke(arc(x, 67, (8.8, 8.8), 0, 360), 2.3) for x in (36.5, 63.5)),
    *lines(2.3, "63.5,67 56,56 43,56 50.5,67 63.5,67", "50.5,67 57.5,52", "36.5,67 43,51.5 38,50"),
    *lines(3, "54,51.5 61,51.5"),
)
BICYCLE: tuple[Shapes, ...] = (BIKE, BIKE, mirrored(BIKE))
SNOWFLAKE: Shapes = turned(lines(3.1, "50,60 50,45", "45,46.5 50,51.5 55,46.5"), 6, 50 + 60j)
LEAPING_DEER: Shapes = (
    Area(at("33,46.5 38,42.5 42,43.5 45,51 50,54.5 58,57.5 65,61 64.5,66 60,66.5 52,64 46,63 41.5,59 40,50 35,49")),
    *lines(3.2, "44,60 37,60.5 33,63.5", "46,62 40,64.5 38,68"),
    *lines(3.4, "62,64 65,69 70,75", "60,65 61,70 65,76"),
    *lines(1.9, "39,43 38,38 40,34", "41,43 43,39 42,35", "64,60.5 67,62"),
)
DEER: tuple[Shapes, ...] = (LEAPING_DEER, LEAPING_DEER, mirrored(LEAPING_DEER))
LORRY_WHEELS: Shapes = tuple(
    shape for x in (29.5, 67) for shape in (disc(f"{x},63", 12, "white"), disc(f"{x},63", 9.5))
)
LORRY_FROM_THE_SIDE: tuple[Shapes, ...] = (
    (
        Area(at("38.5,38 79,38 79,59.5 38.5,59.5")),
        Area(at("24.5,43.5 36.5,43.5 36.5,61 21.5,61 21.5,53.5")),
        Area(at("26,46 33,46 33,52.5 24.2,52.5"), "white"),
        Area(at("36,59 79,59 79,62 36,62")),
        *LORRY_WHEELS,
    ),
    (
        Area(at("44,37 81,37 81,58 44,58")),
        Area(at("33,42.5 42,42.5 42,61 20,61 20,52 31,50.5")),
        Area(at("35,44.5 39.5,44.5 39.5,51 33,51"), "white"),
        Area(at("40,57 79,57 79,61 40,61")),
        *LORRY_WHEELS,
    ),
)
RIGHT: tuple[Shapes, ...] = (
    (
        Stroke(at("35.5,78 35.5,52 37.5,44.5 43,39 51,37 62,37"), 10, "white"),
        Area(at("30.5,76 40.5,76 40.5,83 30.5,83"), "white"),
        arrow_head((82, 37), 0, 28, 8),
    ),
    (
        Stroke(at("36,76 36,54 43,47 60,47"), 11, "white"),
        Area(at("58,28 84,47 58,66"), "white"),
    ),
    (
        Stroke(at("27,75 28,62 33,54 42,50 58,49"), 12, "white"),
        Area(at("56,29 88,49 56,69"), "white"),
    ),
)
AHEAD: tuple[Shapes, ...] = (
    (Area(at("44.5,30 55.5,30 55.5,86 44.5,86"), "white"), arrow_head((50, 12), -90, 32, 9)),
    (Area(at("44.5,36 55.5,36 55.5,86 44.5,86"), "white"), Area(at("50,12 30,42 70,42"), "white")),
)
AHEAD_OR_RIGHT: tuple[Shapes, ...] = (
    (
        Area(at("38,26 46,26 46,86 38,86"), "white"),
        arrow_head((42, 14), -90, 22, 7),
        Stroke(at("43,72 46,63 52,57.5 60,56 74,56"), 8, "white"),
        arrow_head((86, 56), 0, 22, 7),
    ),
    (
        Area(at("33.5,28 42,26 50,86 41.5,86"), "white"),
        arrow_head((36.5, 14), -97, 22, 7),
        Stroke(at("44,74 47,65 53,58.5 60,56 74,53.5"), 8, "white"),
        arrow_head((86, 51), -12, 22, 7),
    ),
    (
        Stroke(at("38,82 38,38"), 9, "white"),
        Area(at("38,14 23,38 53,38"), "white"),
        Stroke(at("38,68 44,60 64,60"), 9, "white"),
        Area(at("63,45 86,60 63,75"), "white"),
    ),
)
KEEP_RIGHT: tuple[Shapes, ...] = (
    (Area(at("18,34 25,25 70,58 63,68"), "white"), arrow_head((79, 71), 38, 36, 10)),
    (Area(at("21,29 29,21 70,62 62,70"), "white"), arrow_head((78, 78), 45, 36, 10)),
)
ROUNDABOUT: tuple[Shapes, ...] = (
    turned((Stroke(arc(50, 50, (26, 26), 15, -50), 7, "white"), arrow_head((54.5, 23.5), 190, 14, 6)), 3, 50 + 50j),
    turned((Stroke(arc(50, 50, (26, 26), 20, -40), 9, "white"), Area(at("52,23 68,15 68,40"), "white")), 3, 50 + 50j),
)
