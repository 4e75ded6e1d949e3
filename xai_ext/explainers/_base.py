"""What all explainers of this package share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import shap
from torch import nn

from xai_ext._checks import InputError, InputTypeError, check_at_least
from xai_ext._shap_compat import Deserializer, Serializer
from xai_ext.explainers._row import Linked, Row, check_image_masker, row_game, row_image
from xai_ext.explanation import Explanation
from xai_ext.methods._report import extended

Auto = Literal["auto"]


class RegionExplainer(shap.Explainer, ABC):  # type: ignore[misc]
    """A ``shap.Explainer`` that evaluates a game over the masker's regions and returns one value per pixel.

    Subclasses name their algorithm, their run-time knobs and their own constructor arguments, and explain one game.
    """

    algorithm: ClassVar[str]
    own_arguments: ClassVar[tuple[str, ...]] = ()
    knobs: ClassVar[tuple[str, ...]] = ("tol",)
    has_players: ClassVar[bool] = True  # regions or columns of the masker, else the pixels of an image
    default_max_evals: ClassVar[int] = 1000
    least_max_evals: ClassVar[int] = 4

    def __init__(
        self,
        model: Any,
        masker: Any,
        link: Callable[..., Any] = shap.links.identity,
        linearize_link: bool = True,
        output_names: list[str] | None = None,
        feature_names: Any = None,
        seed: int | None = None,
        call_defaults: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        if isinstance(model, nn.Module):
            raise InputTypeError(
                "model must be a function of NumPy arrays, got a torch module; "
                "fix: xai_ext.models.as_numpy_function(model)"
            )
        super().__init__(
            model,
            masker,
            link=link,
            algorithm=self.algorithm,
            output_names=output_names,
            feature_names=feature_names,
            linearize_link=linearize_link,
            seed=seed,
        )
        if not self.has_players:
            check_image_masker(self.masker, type(self).__name__)
        self.seed = seed
        self.call_defaults = dict(call_defaults or {}) | more
        allowed = {"max_evals", "batch_size", "outputs", "silent", *self.knobs}
        _refuse_unknown(self.call_defaults, allowed, type(self).__name__)

    def __call__(
        self,
        *args: Any,
        max_evals: int | Auto = "auto",
        main_effects: bool = False,
        error_bounds: bool = False,
        batch_size: int | Auto | None = "auto",
        outputs: Any = None,
        silent: bool = False,
        **knobs: Any,
    ) -> shap.Explanation:
        """Explain a batch of rows.

        Parameters
        ----------
        *args : array or tensor (N, H, W, C)
            Rows that fit the masker.
        max_evals : int or "auto"
            Model evaluations per row, f(x) and f(baseline) included; never exceeded. "auto" is 1000.
        main_effects : bool
            Not available.
        error_bounds : bool
            Accepted; standard errors are always returned, as ``error_std``, None where nothing was sampled.
        batch_size : int or "auto"
            Rows per call of the model; "auto" measures what is fastest.
        outputs : None, int, sequence of int or shap.Explanation op chain
            Which outputs are explained, all by default; one set of evaluations serves all of them.
        silent : bool
            No progress bars.
        **knobs
            ``tol``: stop a row early once its largest standard error is at most
            ``tol * abs(f(x) - f(baseline))`` (or what the class puts in its place). Others: see the class.

        Returns
        -------
        shap.Explanation
            One value per pixel, the value of its region divided by the region's pixels: a region's values sum
            to the region's. ``error_std`` likewise. ``details`` holds one `xai_ext.Explanation` per row
            (slicing the explanation drops it).
        """
        _refuse_unknown(knobs, self.knobs, f"{type(self).__name__}.__call__")
        if main_effects:
            raise InputError(f"main_effects are not defined for {type(self).__name__}; fix: main_effects=False")
        settings = {"max_evals": max_evals, "batch_size": batch_size, "outputs": outputs, "silent": silent} | knobs
        defaults = {"max_evals": "auto", "batch_size": "auto", "outputs": None, "silent": False}
        settings |= {k: v for k, v in self.call_defaults.items() if settings.get(k) == defaults.get(k)}
        if settings["batch_size"] == "auto":
            settings["batch_size"] = None
        details: list[Explanation] = []
        result = super().__call__(*_rows(args), error_bounds=error_bounds, details=details, **settings)
        result.details = tuple(details)
        return result

    def explain_row(
        self,
        *row_args: Any,
        max_evals: int | Auto,
        main_effects: Any,
        error_bounds: bool,
        batch_size: int | None,
        outputs: Any,
        silent: bool,
        **knobs: Any,
    ) -> dict[str, Any]:
        """Explain one row; called by SHAP."""
        details: list[Explanation] = knobs.pop("details", [])
        if max_evals != "auto":
            check_at_least("max_evals", max_evals, self.least_max_evals)
        seed = np.random.SeedSequence(self.seed).entropy
        make = row_game if self.has_players else row_image
        row = make(Linked(self.model, self.link), self.masker, row_args[0], outputs, batch_size)
        rng = np.random.default_rng(seed)
        budget = self.auto_budget(row) if max_evals == "auto" else max_evals
        explanation = self.explain_game(row, budget, rng, show_progress=not silent, **knobs)
        diagnostics = extended(explanation.diagnostics, seed=seed)
        labels = tuple(a[..., 0] if a.ndim == 3 else a for a in explanation.labels)
        details.append(replace(explanation, labels=labels, diagnostics=diagnostics))
        return row.result(explanation, has_errors=self.has_errors)

    def auto_budget(self, row: Row) -> int:
        """What ``max_evals="auto"`` means for one row."""
        return self.default_max_evals

    @property
    def has_errors(self) -> bool:
        """Does the method sample, so that its values have standard errors?"""
        return True

    @abstractmethod
    def explain_game(
        self, row: Row, budget: int, rng: np.random.Generator, *, show_progress: bool, tol: float | None = None
    ) -> Explanation:
        """Explain the game of one row within a budget of evaluations."""

    def save(self, out_file: Any, model_saver: Any = ".save", masker_saver: Any = ".save") -> None:
        """Write the explainer to a file object, as SHAP does, with everything that SHAP forgets."""
        super().save(out_file, model_saver=model_saver, masker_saver=masker_saver)
        names = ("linearize_link", "output_names", "feature_names", "seed", "call_defaults", *self.own_arguments)
        with Serializer(out_file, f"xai_ext.{type(self).__name__}", version=0) as s:
            s.save("arguments", {name: getattr(self, name) for name in names})

    @classmethod
    def load(cls, in_file: Any, model_loader: Any = None, masker_loader: Any = None, instantiate: bool = True) -> Any:
        """Read an explainer from a file object; ``instantiate=False`` returns its constructor's arguments."""
        if instantiate:
            return cls._instantiated_load(in_file, model_loader=model_loader, masker_loader=masker_loader)
        arguments = super().load(in_file, model_loader, masker_loader, instantiate=False)
        with Deserializer(in_file, f"xai_ext.{cls.__name__}", min_version=0, max_version=0) as s:
            return arguments | s.load("arguments")


def _rows(args: tuple[Any, ...]) -> list[Any]:
    """The batch, as an array: SHAP's plots know no tensors."""
    if len(args) != 1:
        raise InputError(f"expected one array of rows (N, H, W, C), got {len(args)} arguments")
    return [a.detach().cpu().numpy() if hasattr(a, "detach") else a for a in args]


def _refuse_unknown(given: Mapping[str, Any], known: Any, where: str) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise TypeError(f"{where} got unexpected keyword arguments {unknown}; known: {sorted(known)}")
