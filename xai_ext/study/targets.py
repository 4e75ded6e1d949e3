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
    found = [index for word in _words(wanted, classifier) for index in _one(word, scores, classifier)]
    return list(dict.fromkeys(found))


def n_targets(wanted: str, classifier: Classifier) -> int:
    """How many a comma list names, before any image is seen: N for topN, one for any other word."""
    counts = [_count(word) for word in _words(wanted, classifier)]
    if any(n is not None and not 1 <= n <= _MOST for n in counts):
        raise InputError(f"the target must be top1 to top{_MOST}, indices or class names, got {wanted!r}")
    return sum(n or 1 for n in counts)


def ranked_target(wanted: str, rank: int | None, scores: Tensor, classifier: Classifier) -> int | None:
    """The `rank`-th of them, from 1; unlike `resolve_targets`, one that was there before counts again.

    Without a rank, `wanted` is one word.
    """
    words = [wanted] if rank is None else _words(wanted, classifier)
    if rank is None or (len(words) == 1 and _count(words[0]) is None):
        return inputs.resolve_target(words[0], scores, classifier)
    if scores.dim() == 1:
        raise InputError(f"the model has one score per image, got the targets {wanted!r}; fix: --target top1")
    return [index for word in words for index in _one(word, scores, classifier)][rank - 1]


def _words(wanted: str, classifier: Classifier) -> list[str]:
    whole = wanted.lower() in [name.lower() for name in classifier.class_names or []]  # names may hold commas
    return [wanted] if whole else [w.strip() for w in wanted.split(",") if w.strip()] or [wanted]


def _count(word: str) -> int | None:
    """N of topN, N > 1."""
    count = word.removeprefix("top")
    return int(count) if word.startswith("top") and count.isdecimal() and word != "top1" else None


def _one(word: str, scores: Tensor, classifier: Classifier) -> Sequence[int | None]:
    count = _count(word)
    if count is None:
        return [inputs.resolve_target(word, scores, classifier)]
    most = min(_MOST, scores.shape[1])
    if not 1 <= count <= most:
        raise InputError(f"the target {word!r} must be one of top1 to top{most}")
    return [int(i) for i in torch.topk(scores[0], count).indices]


def top_classes(scores: Tensor, classifier: Classifier, n: int = 5) -> list[tuple[str, float]]:
    """Names and scores of the largest outputs of an image (1, n_classes)."""
    if scores.dim() == 1:
        return [("score", float(scores[0]))]
    best = torch.topk(scores[0], min(n, scores.shape[1]))
    return [(classifier.name_of(int(i)), float(v)) for v, i in zip(best.values, best.indices, strict=True)]
