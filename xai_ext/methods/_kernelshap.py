"""KernelSHAP: weighted least squares under the constraint of completeness."""

from dataclasses import dataclass

import numpy as np

from xai_ext.methods._rows import Dense, Fit, Rows


@dataclass(frozen=True)
class KernelShap:
    """Minimise sum w (y - f(b) - z beta)^2 subject to sum(beta) = f(x) - f(b) [1]_.

    With ``beta = (f(x) - f(b)) / n + gamma``, gamma is free in the plane of sum 0: the rows are projected onto
    it, and least squares of minimum norm stay in it. No player is singled out.

    References
    ----------
    .. [1] Lundberg, Lee, "A unified approach to interpreting model predictions", NeurIPS 2017, theorem 2.
    """

    def fit(self, rows: Rows) -> Fit:
        n = rows.coalitions.shape[1]
        sizes = rows.coalitions.sum(1)
        full, base = rows.scores[np.argmax(sizes)], rows.scores[np.argmin(sizes)]
        weights = np.where((sizes > 0) & (sizes < n), rows.weights, 0.0)
        root, share = np.sqrt(weights), sizes / n
        design = root[:, None] * (rows.coalitions - share[:, None])
        influence = np.linalg.pinv(design, rcond=1e-10)
        columns = [
            influence @ (root * (y - b - share * (f - b))) for y, f, b in zip(rows.scores.T, full, base, strict=True)
        ]
        gamma = np.stack(columns, axis=1)
        coefficients = (full - base) / n + gamma - gamma.mean(0)
        return Fit(coefficients, base.copy(), Dense(design, influence), free_intercept=False)
