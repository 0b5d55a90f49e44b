"""Every view is looked at here, before a metric sees it: what it raised and what is not finite become reasons.

Casts to bytes, comparisons, sorts and searches take NaN and infinity for something, so that a metric of 1 bad sample in 100 may look
better than one of none. A view with such rows is refused whole, with their count.
"""

from collections.abc import Callable
from typing import Any

from bench.errors import FOREIGN, UserError, in_a_line
from metrics.finite import rows_not_finite
from metrics.metric import Unavailable, Views

Maker = Callable[[Views], Any]
# what a model says of images: one that says nothing finite of any of them has diverged, whatever its losses were
OUTPUTS = ("test.codes", "train.codes", "test.errors.draw", "train.errors.draw", "samples.images", "density_samples.images")


def checked(name: str, maker: Maker, words: str, ruined: list[str]) -> Maker:
    """The maker of the view `name`, which is Unavailable where it raised or has rows that are not finite.

    words: what a reason calls it. ruined: takes the reasons of OUTPUTS that have no finite row.
    """

    def make(views: Views) -> Any:
        try:
            view = maker(views)
        except (Unavailable, UserError):  # a full disk, say, would meet every view
            raise
        except FOREIGN as error:  # a plugin's part may raise anything; other views are there all the same
            raise Unavailable(f"the view {name} failed: {in_a_line(error)}") from None
        bad, n = rows_not_finite(looked_at(name, view))
        if bad:
            reason = f"{bad} of {n} {words} have values that are not finite"
            if bad == n and name in OUTPUTS:
                ruined.append(reason)
            raise Unavailable(reason)
        return view

    return make


def looked_at(name: str, view: Any) -> Any:
    """The part of a view whose rows must be finite."""
    if name.endswith(".pass"):
        return ()  # its parts are views, each with its own reason: codes are good where reconstructions are not
    if name.endswith(".images"):
        return view.features  # images of fewer than three rows have no sharpness
    return view
