import io

from rich.console import Console

from training.evaluation.gans.table import SCHEMA, GanSubject, Score, make_gan_table, shown_scores, tracked_scores

GAN = GanSubject("conditional", "r1", "abc", "def", 28, "test")
REAL = GanSubject("real training images", None, "fed", "def", 28, "test")
MEASURED = [
    (GAN, [Score("kid_task", 0.123456, 100, 200, "cnn 0f3a", 0.01, note="subsets of 50"),
           Score("cas", None, 100, note="why")]),
    (REAL, [Score("kid_task", 0.001, 100, 200, "cnn 0f3a", 0.0005), Score("cas", 0.9, 100, 200, low=0.8, high=0.95)]),
]  # fmt: skip


def test_the_columns_are_those_that_other_programs_rely_on() -> None:
    table = make_gan_table(MEASURED)
    assert table.schema == SCHEMA
    assert SCHEMA.names == [
        "model", "run", "digest", "dataset_digest", "size_px", "split", "metric", "extractor", "value", "sd", "low",
        "high", "n", "n_real", "note", "unit",
    ]  # fmt: skip
    assert [tuple(row.values()) for row in table.to_pylist()][:2] == [
        ("conditional", "r1", "abc", "def", 28, "test", "kid_task", "cnn 0f3a", 0.123456, 0.01, None, None, 100, 200,
         "subsets of 50", None),
        ("conditional", "r1", "abc", "def", 28, "test", "cas", None, None, None, None, None, 100, None, "why", None),
    ]  # fmt: skip


def test_a_run_gets_what_has_a_value_and_says_of_which_split() -> None:
    table = make_gan_table(MEASURED)
    assert tracked_scores(table, "conditional") == {"gan/kid_task": 0.123456}
    validation = make_gan_table([(GAN._replace(split="validation"), MEASURED[0][1])])
    assert tracked_scores(validation, "conditional") == {"gan/validation/kid_task": 0.123456}


def test_the_console_shows_metrics_in_rows_and_a_dash_where_there_is_no_value() -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(shown_scores(make_gan_table(MEASURED)))
    assert isinstance(console.file, io.StringIO)
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["kid_task", "0.1235", "±", "0.01", "0.001", "±", "0.0005"] in lines
    assert ["cas", "–", "0.9"] in lines
