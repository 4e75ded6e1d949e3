"""Progress bars of model evaluations."""

from collections.abc import Iterator
from contextlib import contextmanager

from xai_ext.game import MaskedModel

_DELAY = 1.0  # seconds; what is quicker shows no bar


@contextmanager
def progress(masked_model: MaskedModel, description: str, total: int, *, enabled: bool) -> Iterator[None]:
    """A tqdm bar that counts evaluations inside the block and ends at 100 %, also when fewer were needed."""
    if not enabled:
        yield
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=description, unit="eval", delay=_DELAY) as bar, masked_model.reporting(bar.update):
        yield
        bar.total = bar.n
