"""Which outputs of a model are explained."""

from collections.abc import Sequence

import torch
from torch import Tensor

from xai_ext._checks import InputError
from xai_ext.models import Classifier
from xai_ext.study import inputs

_MOST = 10


def resolve_targets(wanted: str, scores: Tensor, classifier: Classifier) -> list[int | None]:
    """Indices of the outputs that a comma list names, each once; [None] for a model with one score per image.

    Parameters
    ----------
    wanted : str
        Of topN (the N <= 10 largest scores), indices and class names, or none.
    scores : Tensor (1, n_classes) or (1,)
        Of the clean image.
    """
    if scores.dim() == 1:
        return [None]
    if wanted.strip() == "none":
        raise InputError(f"the model has {scores.shape[1]} outputs: say which; fix: --target top1")
    whole = wanted.lower() in [name.lower() for name in classifier.class_names or []]  # names may hold commas
    words = [wanted] if whole else [w.strip() for w in wanted.split(",") if w.strip()]
    found = [index for word in words or [wanted] for index in _one(word, scores, classifier)]
    return list(dict.fromkeys(found))


def _one(word: str, scores: Tensor, classifier: Classifier) -> Sequence[int | None]:
    count = word.removeprefix("top")
    if word.startswith("top") and count.isdigit() and word != "top1":
        most = min(_MOST, scores.shape[1])
        if not 1 <= int(count) <= most:
            raise InputError(f"the target {word!r} must be one of top1 to top{most}")
        return [int(i) for i in torch.topk(scores[0], int(count)).indices]
    return [inputs.resolve_target(word, scores, classifier)]


def top_classes(scores: Tensor, classifier: Classifier, n: int = 5) -> list[tuple[str, float]]:
    """Names and scores of the largest outputs of an image (1, n_classes)."""
    if scores.dim() == 1:
        return [("score", float(scores[0]))]
    best = torch.topk(scores[0], min(n, scores.shape[1]))
    return [(classifier.name_of(int(i)), float(v)) for v, i in zip(best.values, best.indices, strict=True)]
