"""What the package promises, each promise with the checks that hold it; the README's list is made from it."""

from typing import NamedTuple


class Promise(NamedTuple):
    """A promise and its checks."""

    text: str
    checks: tuple[str, ...]


PROMISES = (
    Promise(
        "The model comes back as it was: weights, buffers, modes, hooks, gradients, also after an exception and in "
        "training mode.",
        ("weights_unchanged", "train_mode_buffers", "mode_flags", "hooks", "grad_state", "after_exception", "no_leak",
         "later_training"),
    ),
    Promise(
        "Your random state is yours: untouched with a seed, one draw from torch's generator without.",
        ("global_rng", "seed_isolated", "process_state"),
    ),
    Promise(
        "Same seed, same bits, at any batch size on the CPU, alone or in a batch.",
        ("same_seed", "chunks", "rows_alone", "history", "processes"),
    ),
    Promise("Never a silent NaN: the error names the evaluation.", ("nonfinite_output", "nan_pixels")),
    Promise("Precision is kept: a float64 model gives a float64 result.", ("shape_dtype", "layouts")),
    Promise(
        "Evaluations are counted and never exceeded; memory does not grow with them; out of memory halves the batch.",
        ("budget_rows", "batch_rows", "memory_bound", "oom_halves"),
    ),
    Promise("Threads do not disturb each other.", ("threads", "copies")),
    Promise(
        "Errors say what was expected, what came and the fix, before the model runs; its own exceptions pass.",
        ("bad_calls", "model_error", "cancel"),
    ),
    Promise(
        "Values are what their definition says, standard errors what they claim.",
        ("enumeration", "completeness", "linear_closed_form", "converges", "std_error"),
    ),
    Promise("One method, the same numbers through both hosts.", ("hosts_agree",)),
)  # fmt: skip


def as_markdown() -> str:
    """The list in the README."""
    return "".join(f"* {p.text} Checked by {', '.join(f'`{c}`' for c in p.checks)}.\n" for p in PROMISES)
