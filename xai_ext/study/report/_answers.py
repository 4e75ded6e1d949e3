"""Four questions about a data set, answered in words with numbers and intervals."""

import math
from collections.abc import Iterator
from typing import Any

from pandas import DataFrame

from xai_ext.study._choice import BLIND
from xai_ext.study._report import DisagreementReport
from xai_ext.study.report._tables import signed

_FACTORS = {"method": "another method", "model": "another model", "baseline": "another baseline",
            "seed": "another seed alone"}  # fmt: skip
_BLIND = " Such a map does not look at the model: more images, or other methods, are needed."


def answers(found: DisagreementReport) -> list[tuple[str, list[str]]]:
    """Each question with its sentences."""
    return [
        ("Do the methods disagree?", list(_noise(found))),
        ("What changes an explanation most?", list(_changes(found))),
        ("On which images do they disagree?", list(_images(found))),
        ("Which method should be chosen?", list(_choice(found))),
    ]


def first_measure(found: DisagreementReport, table: DataFrame) -> DataFrame:
    """The rows of the measure that answers, over pixels."""
    if not len(table):
        return table
    rows = table[table.measure == found.setup["measures"][0]]
    return rows[rows["view"] == "pixels"] if "view" in rows else rows


def _noise(found: DisagreementReport) -> Iterator[str]:
    own = first_measure(found, found.beyond_noise)
    if not len(own):
        yield "There is no pair of methods to compare."
        return
    if found.setup["n_images"] < 2:
        yield "One image gives no intervals: what follows is a description of it."
    measure, real = found.setup["measures"][0], int(own.real.sum())
    floor = float(((own.floor_a + own.floor_b) / 2).mean())
    yield (
        f"{real} of {len(own)} pairs of methods disagree beyond the noise of their own seeds: the 95 % interval of "
        "what they fall short of it lies above 0."
    )
    yield (
        f"On average two methods agree {signed(float(own.agreement.mean()))} ({measure}), where runs of one method "
        f"agree {signed(floor)}{_reference(own)}."
    )
    worst = own.sort_values("excess", kind="stable").iloc[-1]
    if math.isfinite(worst.excess):
        yield (
            f"Furthest apart are {worst.a} and {worst.b}{_setting(worst)}: they agree {signed(worst.agreement)} and "
            f"fall short of their noise floor by {_interval(worst.excess, worst.low, worst.high)}, images: {worst.n}."
        )


def _reference(own: DataFrame) -> str:
    if "other_image" not in own or not math.isfinite(float(own.other_image.mean())):
        return ""
    return f", and maps of one method on different images {signed(float(own.other_image.mean()))}"


def _changes(found: DisagreementReport) -> Iterator[str]:
    own = first_measure(found, found.changes_maps)
    if not len(own):
        yield "Nothing was varied but the image."
        return
    ordered = own.sort_values("disagreement", ascending=False, kind="stable")
    parts = [f"{_FACTORS[r.factor]} {_interval(r.disagreement, r.low, r.high)}" for r in ordered.itertuples()]
    yield f"Maps that differ in one thing only differ (1 - agreement) by: {'; '.join(parts)}."
    beyond = [r for r in ordered.itertuples() if r.factor != "seed" and math.isfinite(r.beyond_seed)]
    if beyond:
        words = [f"{_FACTORS[r.factor]} {_interval(r.beyond_seed, r.beyond_low, r.beyond_high)}" for r in beyond]
        yield f"Beyond what seeds explain: {'; '.join(words)}."
    levels = first_measure(found, found.changes_levels)
    if len(levels):
        shares = [f"{r.factor} {r.omega2:.0%}" for r in levels.itertuples() if r.omega2 >= 0.01]
        yield f"How far two methods agree varies with: {', '.join(shares) or 'nothing measured'} (share of variance)."


def _images(found: DisagreementReport) -> Iterator[str]:
    known = found.images[found.images.rho.notna()] if len(found.images) else found.images
    clear = known[known.p_holm < found.setup["alpha"]] if len(known) else known
    for row in clear.itertuples():
        direction = "more" if row.rho > 0 else "less"
        yield (
            f"Methods disagree {direction} on images with a higher {row.covariate.replace('_', ' ')}: rank correlation "
            f"{_interval(row.rho, row.low, row.high)}, {row.n} images."
        )
    if not len(clear):
        tried = ", ".join(c.replace("_", " ") for c in known.covariate) if len(known) else "what was measured of them"
        yield f"Nothing among {tried} is shown to go with an image's disagreement."
    for which in ("most", "least") if found.setup["n_images"] > 1 else ():
        part = found.extremes[found.extremes.which == which] if len(found.extremes) else found.extremes
        if len(part):
            names = [f"{r.image_id} ({signed(r.disagreement)})" for r in part.head(3).itertuples()]
            yield f"They disagree {which} on {', '.join(names)}."


def _choice(found: DisagreementReport) -> Iterator[str]:
    if not len(found.choice):
        yield "No score was given to choose by."
    primary = ", ".join(found.setup["primary"])
    for row in found.choice.itertuples():
        where = ", ".join(str(v) for v in (row.dataset, row.model, row.baseline) if v) or "all images"
        equal = row.recommended.split(", ")
        if set(equal) & set(BLIND):
            yield f"{where}: {row.verdict} by {primary}, {len(equal)} are not shown worse than the best.{_BLIND}"
            continue
        equals = f"not shown worse by {primary}: {row.recommended}" if row.recommended else f"front: {row.front}"
        yield f"{where}: {row.verdict} ({equals})."
    ranks = found.score_ranks.between if found.score_ranks is not None else DataFrame()
    if len(ranks) and ranks.tau.notna().any():
        low = ranks.loc[ranks.tau.idxmin()]
        yield (
            f"Scores do not rank methods alike: {low.a} and {low.b} agree least{_setting(low)}, Kendall's tau "
            f"{_interval(low.tau, low.low, low.high)} over {low.n_images} images."
            if low.high < 1
            else "All scores rank the methods alike."
        )


def _setting(row: Any) -> str:
    words = [str(row[name]) for name in ("dataset", "model", "baseline") if row.get(name)]
    return f" ({', '.join(words)})" if words else ""


def _interval(mean: float, low: float, high: float) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{signed(mean)} (no interval)"
    return f"{signed(mean)} ({signed(low)} to {signed(high)})"
