"""What is said of a whole chain."""

import pytest

from training.lineage.links import LineageError, Link, check_chain


def test_a_chain_is_whole_or_lacks_links() -> None:
    known, missing = Link("run", "r"), Link("version", "none", "missing")
    assert check_chain([known, known]).startswith("The chain is whole")
    assert check_chain([known, missing]).startswith("1 of 2 links is missing")
    assert check_chain([missing, known, missing]).startswith("2 of 3 links are missing")


def test_a_contradiction_is_an_error_that_names_every_one() -> None:
    links = [Link("variant", "clean changed", "broken"), Link("run", "r", "missing"), Link("model", "other", "broken")]
    with pytest.raises(LineageError, match=r"the chain is broken: variant: clean changed; model: other$"):
        check_chain(links)
