"""What nearly orthogonal pairs of complements spare of the variance that independent pairs would have."""

import numpy as np

from xai_ext._types import BoolArray, FloatArray

_BLOCK = 500  # pairs looked at together: matrices of their square


def spared_share(drawn: BoolArray, weighted: FloatArray) -> FloatArray:
    """By which share the variance of coefficients is smaller than with independent pairs, (k,).

    Parameters
    ----------
    drawn : (m, n)
        Rows 2i and 2i+1 are complements; an odd last row is left out.
    weighted : (m, k)
        Residuals times weights.
    """
    pairs = slice(0, len(drawn) - len(drawn) % 2)
    contrasts = weighted[pairs][::2] - weighted[pairs][1::2]
    return third_order_share(np.where(drawn[pairs][::2], 1.0, -1.0), contrasts)


def third_order_share(signs: FloatArray, contrasts: FloatArray) -> FloatArray:
    """The same, of pairs with these signs and contrasts.

    A pair adds its signs times its contrast to the coefficients. Contrasts of pairs with signs z and z' are taken to
    have the covariance ``v3 K3(h) / C(n, 3)``, h = z.z', K3 the third Krawtchouk polynomial, which is what effects of
    triples have, plus v for a pair with itself. Two moments of the contrasts give both variances.

    Parameters
    ----------
    signs : (m, n)
        First row of each pair.
    contrasts : (m, k)
    """
    m, n = signs.shape
    if n < 3 or min(m, _BLOCK) < 2 * n:
        return np.zeros(contrasts.shape[1])
    terms = [_moments(signs[i : i + _BLOCK], contrasts[i : i + _BLOCK]) for i in range(0, m, _BLOCK) if m - i >= 2 * n]
    found, expected, left = (sum(parts) for parts in zip(*terms, strict=True))
    variances = np.maximum(np.linalg.solve(expected, found), 0)  # of triples, of all else
    counted = (expected[1] / expected[1, 1]) @ variances  # by the sandwich, which corrects residuals for their number
    spared = counted - (left / left[1]) @ variances
    return np.asarray(np.divide(spared, counted, out=np.zeros(len(counted)), where=counted > 0))


def _moments(signs: FloatArray, contrasts: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Two quadratic forms (2, k); what a unit of either variance adds to them (2, 2), and to the coefficients (2,)."""
    m, n = signs.shape
    inner = signs @ signs.T
    triples = inner * (inner * inner - (3 * n - 2)) / (n * (n - 1) * (n - 2))
    sums, inverse = signs.T @ triples, np.linalg.inv(signs.T @ signs)
    product = sums @ signs
    kept = inverse @ product @ inverse
    residuals = contrasts - signs @ (inverse @ (signs.T @ contrasts))
    squares = (residuals**2).sum(0)
    # with M = I - signs inverse signs': sums over the elements of M triples M and M, by triples and on the diagonal
    weighted = np.vdot(triples, triples) - 2 * np.vdot(inverse, sums @ sums.T) + np.vdot(product, kept)
    diagonal = m - np.vdot(inverse, product)
    expected = np.array([[weighted, diagonal], [diagonal, m - n]])
    found = np.stack([(residuals * (triples @ residuals)).sum(0), squares])
    found[0] -= found[1]  # a pair with itself says nothing
    expected[0] -= expected[1]
    return found, expected, np.array([np.trace(kept), np.trace(inverse)])
