import io
import re

from rich.console import Console

from pipelines.console import at_work, followed, time_of_day


def on_screen(*, terminal: bool, seconds_each: float) -> tuple[list[str], str]:
    """The items that come through, and what is shown, if each of four takes so long."""
    screen, now = io.StringIO(), 0.0

    def clock() -> float:
        return now

    came = []
    for item in followed(["a", "b", "c", "d"], "letters", Console(file=screen, force_terminal=terminal), clock):
        came.append(item)
        now += seconds_each
    return came, screen.getvalue()


def test_a_bar_follows_on_a_terminal() -> None:
    came, shown = on_screen(terminal=True, seconds_each=60)
    assert came == ["a", "b", "c", "d"]
    assert "letters" in shown
    assert "━" in shown


def test_a_line_at_most_every_half_minute_where_there_is_no_terminal() -> None:
    came, shown = on_screen(terminal=False, seconds_each=20)
    assert came == ["a", "b", "c", "d"]
    assert re.fullmatch(r"\d\d:\d\d:\d\d letters: 2 of 4\n", shown)
    assert on_screen(terminal=False, seconds_each=1) == (came, "")
    assert on_screen(terminal=False, seconds_each=30)[1].count("\n") == 3


def test_what_is_at_work_is_said_once_where_there_is_no_terminal() -> None:
    for terminal in (True, False):
        screen = io.StringIO()
        with at_work("vanilla [28 px]", Console(file=screen, force_terminal=terminal, markup=False)):
            during = screen.getvalue()
        assert "vanilla [28 px]" in screen.getvalue()
        assert terminal or during == screen.getvalue()
        assert terminal or re.fullmatch(r"\d\d:\d\d:\d\d vanilla \[28 px\]\n", screen.getvalue())


def test_a_line_has_the_time_where_there_is_no_terminal() -> None:
    assert time_of_day(Console(file=io.StringIO(), force_terminal=True)) == ""
    assert re.fullmatch(r"\d\d:\d\d:\d\d ", time_of_day(Console(file=io.StringIO(), force_terminal=False)))
