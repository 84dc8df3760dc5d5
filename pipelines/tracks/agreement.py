"""How far recovered groups agree with the known ones."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.store.recovered_groups import Agreement

__all__ = ["agreement"]


def agreement(recovered: Sequence[str], known: Sequence[str]) -> Agreement:
    """Of images in both by their place: pairs as in the Rand index (W. M. Rand, "Objective criteria for the evaluation
    of clustering methods", 1971), and purity. Groups of one image have no pair: without any pair there is a share of
    1."""
    shared = _shared(recovered, known)
    pairs, in_recovered, in_known = _pairs(shared), _pairs(shared.sum(axis=1)), _pairs(shared.sum(axis=0))
    whole = (shared == shared.sum(axis=1, keepdims=True)) & (shared == shared.sum(axis=0)) & (shared > 0)
    return Agreement(
        precision=pairs / in_recovered if in_recovered else 1.0,
        recall=pairs / in_known if in_known else 1.0,
        purity=float(shared.max(axis=1).sum() / len(known)),
        exact=int(whole.sum()),
        groups=shared.shape[1],
        images=len(known),
    )


def _shared(recovered: Sequence[str], known: Sequence[str]) -> NDArray[np.int64]:
    """(recovered groups, known groups): images in both."""
    rows, columns = (np.unique(names, return_inverse=True)[1] for names in (recovered, known))
    counts = np.zeros((rows.max() + 1, columns.max() + 1), np.int64)
    np.add.at(counts, (rows, columns), 1)
    return counts


def _pairs(counts: NDArray[np.int64]) -> float:
    return float((counts * (counts - 1) // 2).sum())
