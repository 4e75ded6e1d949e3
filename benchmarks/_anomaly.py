"""The parts of anomaly.py, each of which prints its tables."""

import time
from functools import partial

import numpy as np
import pandas as pd
import torch
from _anomaly_data import FLIPS, network, textures, tiles

from xai_ext.anomaly import (
    VAEGAN,
    DetectorScore,
    Max,
    ReconstructionScore,
    TopK,
    evidence,
    right_reason,
    train_vae_gan,
)
from xai_ext.anomaly.closed_form import top_k_values
from xai_ext.metrics.detection import aupro, auroc, pixel_auroc
from xai_ext.study._anomaly_demo import AnomalyConfig, _maps
from xai_ext.study.anomaly import cross_table, decision_report, explain_table, paper_setup, report_of

REDUCERS = {"Max": Max(), "TopK(.01)": TopK(0.01)}


def steps(x):
    """Length of the difference to the next pixel, down and across."""
    down, across = x.diff(dim=2, append=x[:, :, -1:]), x.diff(dim=3, append=x[..., -1:])
    return (down**2 + across**2).sqrt()


STEEPEST = DetectorScore.from_callable(lambda x: steps(x).flatten(1).amax(1), map_fn=steps)


def brick(arguments):
    data = textures("brick")
    for seed in arguments.seeds:
        yield seed, data, network(arguments.cache, "brick", data.train, "small", seed)


def detect(arguments):
    print("\n## Detection: small networks, image score Max, 200 normals and 150 defects\n")
    header("network", "image AUROC [95 %]", "blob", "scratch", "patch", "pixel AUROC", "AUPRO", "false alarms")
    data, gravel = textures("brick"), textures("gravel")
    found = []
    for how, options in (("", {}), (", not divided", {"deviations": None})):
        found += [(f"brick, seed {s}{how}", data, ReconstructionScore(n, **options)) for s, _, n in brick(arguments)]
    for s in arguments.flips:
        net = network(arguments.cache, "brick", data.train, seed=s, augment=FLIPS)
        found.append((f"brick, flips in training, seed {s}", data, ReconstructionScore(net)))
    found.append(("gravel, seed 0", gravel, ReconstructionScore(network(arguments.cache, "gravel", gravel.train))))
    for s in arguments.seeds if arguments.gan else ():
        net = network(arguments.cache, "brick", data.train, "small_gan", s)
        found.append((f"brick, small_gan, seed {s}", data, ReconstructionScore(net)))
    found += [(f"{d.texture}, no network: steepest step", d, STEEPEST) for d in (data, gravel)]
    for name, data, score in found:
        score.calibrate(data.calibration)
        good, bad = score.scores_of(data.good), score.scores_of(data.bad)
        kinds = [auroc(*joined(good, bad[[k == kind for k in data.kinds]])) for kind in ("blob", "scratch", "patch")]
        with torch.no_grad():
            maps = torch.cat([score.map(data.good), score.map(data.bad)])[:, 0]
        truth = torch.cat([torch.zeros(len(good), *maps.shape[1:], dtype=torch.bool), data.masks])
        row(name, interval(good, bad), *map("{:.3f}".format, kinds), f"{pixel_auroc(maps, truth):.3f}",
            f"{aupro(maps, truth):.3f}", f"{(good > score.threshold).mean():.3f}")  # fmt: skip


def reason(arguments):
    print("\n## right_reason against the verdict with the true clean image as repair and carrier\n")
    header("network", "reducer", "detected", "agreement", "truth undecided", "agreement elsewhere",
           "right", "partly", "wrong", "undecided", "placebo repair <= t", "mark flagged", "mark called right",
           "mark called wrong", "mass above t in mask", "raw mass in mask", "mass >= .5 agrees")  # fmt: skip
    for seed, data, net in brick(arguments):
        for name, reduce in REDUCERS.items():
            score = ReconstructionScore(net, reduce=reduce).calibrate(data.calibration)
            found = right_reason(score, data.bad, data.masks)
            clean = dict.fromkeys(("repair", "carrier"), lambda x, c=data.clean: c)
            true = right_reason(score, data.bad, data.masks, **clean)
            kept = np.array([v != "not_detected" for v in found.verdict])
            verdicts = np.array(found.verdict)[kept]
            agree = verdicts == np.array(true.verdict)[kept]
            open_ = np.array(true.verdict)[kept] == "undecided"
            marks = [v for v in right_reason(score, *data.fooled()).verdict if v != "not_detected"]
            with torch.no_grad():
                raw = score.map(data.bad)[:, 0]
            raw_mass = ((raw * data.masks).sum((1, 2)) / raw.sum((1, 2))).numpy()[kept]
            mass = found.mass_above[kept]
            same = (mass >= 0.5) == (np.array(true.verdict)[kept] == "right")
            row(f"seed {seed}", name, kept.sum(), f"{agree.mean():.3f}", f"{open_.mean():.3f}",
                f"{agree[~open_].mean():.3f}",
                *[f"{(verdicts == v).mean():.3f}" for v in ("right", "partly", "wrong", "undecided")],
                f"{(found.placebo_repaired[kept] <= found.threshold).mean():.3f}", len(marks),
                f"{marks.count('right') / max(1, len(marks)):.3f}", f"{marks.count('wrong') / max(1, len(marks)):.3f}",
                f"{np.nanmean(mass) if name == 'Max' else np.nan:.3f}", f"{raw_mass.mean():.3f}",
                f"{same.mean() if name == 'Max' else np.nan:.3f}")  # fmt: skip


def maps(arguments):
    data, net = textures("brick"), network(arguments.cache, "brick", textures("brick").train)
    scenes = {"brick": (net, data.calibration, data.bad, data.masks)}
    if arguments.tiles is not None:
        t = tiles(arguments.tiles)
        own = network(arguments.cache, "tiles", t.train)
        scenes |= {f"tiles, {d}": (own, t.calibration, t.bad[d], t.masks[d]) for d in t.bad}
    for scene, (net, calibration, bad, masks) in scenes.items():
        for name, reduce in REDUCERS.items():
            score = ReconstructionScore(net, reduce=reduce).calibrate(calibration)
            n = arguments.images if scene == "brick" else max(4, arguments.images // 3)
            chosen = flagged_first(score, bad)[:n]
            print(f"\n## Maps, {scene}, score {name}, {len(chosen)} defects, {arguments.budget} evaluations\n")
            tables, verdicts = [], right_reason(score, bad, masks)
            for i in chosen:
                made = _maps(score, bad[i : i + 1], AnomalyConfig(budget=arguments.budget))
                tables.append(explain_table(score, bad[i : i + 1], masks[i], made, seed=int(i)))
            table = pd.concat(tables).groupby("map", sort=False).mean(numeric_only=True)
            print(plain(table))
            print(f"\nverdicts of these: {pd.Series([verdicts.verdict[i] for i in chosen]).value_counts().to_dict()}")
            masses = np.array([t.loc["bpt_owen", "mass_accuracy"] for t in tables])
            print("\n" + cross_table([verdicts.verdict[i] for i in chosen], masses).to_string())


def report(arguments):
    data = textures("brick")
    gravel = textures("gravel")
    kinds = {k: [i for i, kind in enumerate(data.kinds) if kind == k] for k in ("blob", "scratch", "patch")}
    for name, d, seeds in (("brick", data, arguments.seeds), ("gravel", gravel, [0])):
        for seed in seeds:
            for reducer, reduce in REDUCERS.items():
                net = network(arguments.cache, name, d.train, "small", seed)
                score = ReconstructionScore(net, reduce=reduce).calibrate(d.calibration)
                groups = {"good": d.good, **{k: d.bad[i] for k, i in kinds.items()}, **d.nuisance}
                found = decision_report(score, groups, masks={k: d.masks[i] for k, i in kinds.items()})
                print(f"\n## Report, {name}, seed {seed}, {reducer}\n\n{found.summary()}")
    if arguments.tiles is None:
        return
    t = tiles(arguments.tiles)
    for reducer, reduce in REDUCERS.items():
        score = ReconstructionScore(network(arguments.cache, "tiles", t.train), reduce=reduce).calibrate(t.calibration)
        print(f"\n## Report, tiles by path, {reducer}\n")
        header("defect", "n", "image AUROC [95 %]", "pixel AUROC", "AUPRO")
        good = score.scores_of(t.good)
        for defect in t.bad:
            with torch.no_grad():
                m = torch.cat([score.map(t.good), score.map(t.bad[defect])])[:, 0]
            truth = torch.cat([torch.zeros(len(good), *m.shape[1:], dtype=torch.bool), t.masks[defect]])
            row(defect, len(t.bad[defect]), interval(good, score.scores_of(t.bad[defect])),
                f"{pixel_auroc(m, truth):.3f}", f"{aupro(m, truth):.3f}")  # fmt: skip
        print("\n" + decision_report(score, {"good": t.good, **t.bad}, masks=t.masks).summary())


def rules(arguments):
    """Flag rates of each rule and of the score alone at the same recall, on what is no defect."""
    print("\n## Rules at equal recall: flag rate of the rule, of the score alone at that recall, and what follows\n")
    header("network", "reducer", "rule", "recall", "good", "gain", "noise", "gradient", "mark")
    for seed, data, net in brick(arguments):
        for name, reduce in REDUCERS.items():
            score = ReconstructionScore(net, reduce=reduce).calibrate(data.calibration)
            groups = {"good": data.good, "defect": data.bad, **data.nuisance}
            tables = {group: evidence(score, x, areas=(0.05,)) for group, x in groups.items()}
            found = report_of(tables, score.threshold, defects=("defect",)).comparison
            for rule in ("score+local", "score+contrast"):
                rows = found[found["rule"] == rule].set_index("group")
                row(f"seed {seed}", name, rule, f"{rows['recall'].iloc[0]:.3f}",
                    *[f"{r.rate:.2f}, {r.rate_of_score:.2f}, {r.says}" for r in
                      (rows.loc[g] for g in ("good", *data.nuisance))])  # fmt: skip


def smoothing(arguments):
    """Of TILES: how much to smooth the residual, chosen on every other image and measured on the rest."""
    t = tiles(arguments.tiles)
    net = network(arguments.cache, "tiles", t.train)
    print(
        "\n## TILES: image AUROC (Max) over the smoothing of the residual; every other image chooses, the rest counts\n"
    )
    header("smooth, pixels", *[f"{d}, choosing" for d in t.bad], "mean", *[f"{d}, counted" for d in t.bad], "mean")
    for sigma in (0.0, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0):
        score = ReconstructionScore(net, smooth=sigma)
        good, cells = score.scores_of(t.good), []
        for part in (np.s_[::2], np.s_[1::2]):
            areas = [auroc(*joined(good[part], score.scores_of(bad)[part])) for bad in t.bad.values()]
            cells += [*areas, np.mean(areas)]
        row(sigma, *map("{:.3f}".format, cells))


def paper(arguments):
    data, net = textures("brick"), network(arguments.cache, "brick", textures("brick").train)
    score = ReconstructionScore(net).calibrate(data.calibration)
    chosen = flagged_first(score, data.bad)[: arguments.paper_images]
    tables = []
    for i in chosen:
        x, made = data.bad[i : i + 1], {}
        for setup in ("S1", "S2", "S3"):
            for variant in ("code", "text", "decision"):
                options = {"setup": setup, "variant": variant, "n_samples": 500}
                made[f"{setup} {variant}"] = paper_setup(score, x, data.masks[i], **options)
        tables.append(explain_table(score, x, data.masks[i], made))
    print(f"\n## Published setups on brick: mean best IoU of {len(chosen)} defects, 500 evaluations\n")
    print("The best IoU takes its threshold from the truth; in rows marked oracle the segmentation saw it too.\n")
    header("map", "oracle", "oracle_max_iou", "its chance", "iou_mass80", "roc_auc")
    table = pd.concat(tables).groupby("map", sort=False).mean(numeric_only=True)
    for name, r in table.iterrows():
        row(name, "oracle" if r["oracle"] else "", *[f"{r[c]:.3f}" for c in
            ("oracle_max_iou", "chance_oracle_max_iou", "iou_mass80", "roc_auc")])  # fmt: skip
    print("\nPublished, MVTec AD: S1/S2/S3 hazelnut .357/.517/.443, screw .215/.630/.329.")


def speed(arguments):
    residuals = np.random.default_rng(0).random(224 * 224)
    ours, sort = ([seconds(f) for _ in range(9)] for f in (
        lambda: top_k_values(residuals), lambda: np.argsort(residuals, kind="stable")))  # fmt: skip
    print("\n## Speed\n")
    print(f"closed form of 224 x 224: {np.median(ours) * 1e3:.1f} ms, stable argsort {np.median(sort) * 1e3:.1f} ms, "
          f"ratio {np.median(np.array(ours) / sort):.2f}")  # fmt: skip
    x = torch.rand(64, 1, 64, 64)
    net = VAEGAN()
    forward = np.median([seconds(lambda: net(x)) for _ in range(9)])
    long, short = (min(seconds(partial(trained, steps)) for _ in range(3)) for steps in (5, 1))
    print(f"\none training step costs {(long - short) / 4 / forward:.1f} forwards of its batch")


def trained(steps):
    train_vae_gan(torch.rand(64 * steps, 1, 64, 64), epochs=1, device="cpu")


def flagged_first(score, bad):
    flagged = score.decide(bad).numpy()
    return np.argsort(~flagged, kind="stable")


def joined(good, bad):
    scores = np.concatenate([good, bad])
    return scores, np.arange(len(scores)) >= len(good)


def interval(good, bad):
    a = auroc(*joined(good, bad), interval="delong")
    return f"{a.value:.3f} [{a.low:.3f}, {a.high:.3f}]"


def seconds(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def header(*names):
    row(*names)
    print("|" + "---|" * len(names))


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def plain(table):
    columns = [c for c in table.columns if c != "oracle"]
    lines = [["map", *columns], ["---"] * (1 + len(columns))]
    lines += [[name, *[f"{v:.3f}" for v in r[columns]]] for name, r in table.iterrows()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
