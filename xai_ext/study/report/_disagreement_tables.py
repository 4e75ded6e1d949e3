"""The nine sections of a disagreement report as tables of a page."""

from xai_ext.study._report import DisagreementReport
from xai_ext.study.report._answers import first_measure
from xai_ext.study.report._tables import Table, of_frame, pairs

_WHERE = {"dataset": "data set", "model": "model", "baseline": "baseline"}
_INTERVAL = {"mean": "mean", "low": "from", "high": "to", "n": "images"}
# attribute, what the caption says, columns and their heads; one measure is shown where there are several
_TABLES: tuple[tuple[str, str, dict[str, str] | None], ...] = (
    ("matrix", "2. Agreement of each pair of methods", {"a": "method a", "b": "method b", **_WHERE, **_INTERVAL}),
    ("areas", "2. Agreement of the highest pixels, one number over all shares", None),
    ("concordance", "2. Agreement of all methods at once (Kendall's W)", {"view": "over", **_WHERE, **_INTERVAL}),
    ("beyond_noise", "3. Agreement beside the noise of seeds; real: the interval lies above 0",
     {"a": "method a", "b": "method b", **_WHERE, "agreement": "agreement", "floor_a": "floor of a",
      "floor_b": "floor of b", "excess": "short by", "low": "from", "high": "to", "p_holm": "p (Holm)",
      "real": "real", "chance": "chance", "random": "random maps", "rolled": "shifted maps",
      "other_image": "other image", "n": "images"}),
    ("changes_maps", "4. How far maps differ that differ in one thing only",
     {"factor": "factor", "disagreement": "1 - agreement", "low": "from", "high": "to", "beyond_seed": "beyond seeds",
      "beyond_low": "from", "beyond_high": "to", "n": "images"}),
    ("changes_levels", "5. What the agreement of methods varies with: shares of variance",
     {"factor": "factor", "omega2": "omega squared", "df": "df", "p": "p (permutation)", "p_holm": "p (Holm)"}),
    ("images", "6. What goes with an image's disagreement: rank correlations",
     {"covariate": "of the image", "rho": "correlation", "low": "from", "high": "to", "p_holm": "p (Holm)",
      "n": "images"}),
    ("extremes", "6. Images that disagree most and least",
     {"which": "which", "dataset": "data set", "image_id": "image", "disagreement": "1 - agreement"}),
    ("measures", "7. How well each measure tells runs from methods, and an image from another (AUROC)",
     {"measure": "measure", "seed_from_method": "run from method", "same_from_other_image": "image from another"}),
    ("measure_taus", "7. Agreement of measures (Kendall's tau)", None),
    ("scores", "8. Scores and agreement, over images: rank correlations",
     {"metric": "score", "rho": "correlation", "low": "from", "high": "to", "p_holm": "p (Holm)", "n": "images"}),
    ("score_ranks_between", "8. Do scores rank the methods alike? (Kendall's tau)", None),
    ("score_ranks_within", "8. Do images rank the methods alike? (Kendall's W)", None),
    ("best_sets", "9. Methods that are not shown worse than the best",
     {"metric": "score", **_WHERE, "method": "method", "mean": "mean", "in_best_set": "in the best set"}),
    ("choice", "9. What to choose", {**_WHERE, "verdict": "verdict", "recommended": "not shown worse",
                                     "front": "front"}),
)  # fmt: skip
_OF_ONE_MEASURE = ("matrix", "beyond_noise", "changes_maps", "changes_levels")


def disagreement_tables(found: DisagreementReport) -> list[tuple[str, Table]]:
    """Title and table of each section that has something to say."""
    known = found.tables()
    shown = [("1. Set-up", _setup(found))]
    for name, title, heads in _TABLES:
        frame = known.get(name)
        if frame is None or not len(frame):
            continue
        own = first_measure(found, frame) if name in _OF_ONE_MEASURE else frame
        measure = f", {found.setup['measures'][0]} over pixels" if name in _OF_ONE_MEASURE else ""
        if heads is not None:
            heads = {c: h for c, h in heads.items() if c not in _WHERE or (c in own and own[c].nunique() > 1)}
        shown.append((title, of_frame(f"section-{name}", f"{title}{measure}.", own, heads)))
    return shown


def _setup(found: DisagreementReport) -> Table:
    words = {k: listed(v) for k, v in found.setup.items() if k not in ("versions", "n_images", "seeds")}
    words["images"] = str(found.setup["n_images"])
    return pairs("section-setup", "1. What was compared, and how maps were read.", words)


def listed(value: object) -> str:
    """A setting in words."""
    if isinstance(value, dict):
        return ", ".join(f"{k}: {v}" for k, v in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(" x ".join(map(str, v)) if isinstance(v, list | tuple) else str(v) or "-" for v in value)
    return str(value)
