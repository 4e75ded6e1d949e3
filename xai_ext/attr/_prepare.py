"""A copy of a network that Captum's activation hooks understand: every call of an activation has its own module.

Captum's DeepLift and guided backpropagation hook modules. A module that is called twice, a functional activation and
an activation that Captum's tables do not know are passed over, most of them without a word; and where the input of an
activation is also used elsewhere, or is itself the output of an activation, the gradient of one of them is lost.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from xai_ext._captum_compat import RESCALE_RULES, rescale_rule
from xai_ext._layers import layer_outputs


class ClampedReLU(nn.ReLU):
    """ReLU6 as a kind of `nn.ReLU`, which is what Captum's guided methods look for."""

    def forward(self, input: Tensor) -> Tensor:
        """Values between 0 and 6."""
        return input.clamp(0, 6)


# elementwise, with the Rescale rule of Shrikumar et al. 2017, section 3.5.2
_RESCALED = (ClampedReLU, nn.ReLU6, nn.Hardtanh, nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid)
_ELEMENTWISE = (nn.ReLU, *_RESCALED, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus)
_FUNCTIONS: dict[Any, type[nn.Module]] = {
    **dict.fromkeys((F.relu, torch.relu, Tensor.relu, Tensor.relu_, torch.relu_), nn.ReLU),
    F.relu6: ClampedReLU,
    F.silu: nn.SiLU,
    F.hardswish: nn.Hardswish,
    F.hardsigmoid: nn.Hardsigmoid,
    **dict.fromkeys((torch.sigmoid, Tensor.sigmoid, F.sigmoid), nn.Sigmoid),
    **dict.fromkeys((torch.tanh, Tensor.tanh, F.tanh), nn.Tanh),
}
_WITH_SETTINGS = (F.gelu, F.hardtanh, F.elu, F.leaky_relu, F.softplus)  # seen, so that what holds them is traced
_METHODS = {"relu": nn.ReLU, "relu_": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


@dataclass(frozen=True, eq=False)
class Prepared:
    """A network for Captum's hooks, and what was done to it.

    Attributes
    ----------
    module : nn.Module
        The copy, sharing all parameters; or the network itself.
    note : str
    """

    module: nn.Module
    note: str


def prepare(module: nn.Module, examples: Tensor) -> Prepared:
    """A copy in which each call of an activation has a module of its own; the network itself where that fails.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode; its modules and parameters are shared, not changed.
    examples : Tensor (k, ...)
        The copy must return bit-equal outputs for them.
    """
    try:
        with torch.no_grad():
            copy, n = _split(module, examples)
            equal = torch.equal(module(examples), copy(examples))
    except Exception as error:  # whatever symbolic tracing makes of a user's code
        return Prepared(module, f"as is: cannot be traced ({_first_line(error)})")
    if not equal:
        return Prepared(module, "as is: the traced copy gives other outputs")
    return Prepared(copy, f"prepared: {n} calls of activations have modules of their own")


_KNOWN: WeakKeyDictionary[nn.Module, Prepared] = WeakKeyDictionary()


def prepared(module: nn.Module, examples: Tensor) -> Prepared:
    """`prepare`, remembered as long as the network lives."""
    if module not in _KNOWN:
        found = prepare(module, examples)
        if found.module is module:  # a value must not keep its key alive
            return found
        _KNOWN[module] = found
    return _KNOWN[module]


@contextmanager
def rescale_rules() -> Iterator[None]:
    """Inside, Captum's DeepLift knows ReLU6, Hardtanh, SiLU, GELU, Hardswish and Hardsigmoid too."""
    before = dict(RESCALE_RULES)
    RESCALE_RULES.update({kind: rescale_rule for kind in _RESCALED if kind not in before})
    try:
        yield
    finally:
        RESCALE_RULES.clear()
        RESCALE_RULES.update(before)


def same_layer(found: Prepared, module: nn.Module, layer: str, x: Tensor) -> nn.Module | None:
    """The module of the copy that returns what a layer of the network returns; None where there is none.

    A block whose inside was traced is no longer called itself; its last activation is.
    """
    if found.module is module:
        return module.get_submodule(layer)
    wanted = layer_outputs(module, x, [layer]).get(layer)
    if wanted is None:
        return None
    names = [name for name, _ in found.module.named_modules() if name]
    for name, output in reversed(layer_outputs(found.module, x, names).items()):
        if output.shape == wanted.shape and torch.equal(output, wanted):
            same: nn.Module = found.module.get_submodule(name)
            return same
    return None


def _split(module: nn.Module, examples: Tensor) -> tuple[fx.GraphModule, int]:
    tracer = _Tracer(_holders(module, examples))
    graph = tracer.trace(module)
    copy = fx.GraphModule(tracer.root, graph)
    taken: set[str] = set()
    for node in reversed(list(graph.nodes)):  # the last call keeps the name, which is the one that layer hooks see
        own = _own_activation(node, copy)
        if own is not None:
            name = str(node.target) if node.op == "call_module" else f"activation_{node.name}"
            while name in taken:
                name += "_before"
            taken.add(name)
            copy.add_submodule(name, own.train(module.training))
            given = node.all_input_nodes[0]
            with graph.inserting_before(node):
                # Captum replaces the gradient of the very tensor, also what reaches it from elsewhere
                apart = graph.call_method("view_as", (given, given))
                node.replace_all_uses_with(graph.call_module(name, (apart,)))
            graph.erase_node(node)
    copy.recompile()
    return copy, len(taken)


def _own_activation(node: fx.Node, copy: fx.GraphModule) -> nn.Module | None:
    """The module that takes the place of a call; None where it stays as it is."""
    if node.op == "call_function" and node.target in _FUNCTIONS:
        return _fresh(_FUNCTIONS[node.target])
    if node.op == "call_method" and node.target in _METHODS:
        return _fresh(_METHODS[str(node.target)])
    if node.op != "call_module":
        return None
    old = copy.get_submodule(str(node.target))
    if type(old) is nn.ReLU6:
        return ClampedReLU()
    if type(old) not in _ELEMENTWISE:
        return None
    settings = (name for name in getattr(old, "__constants__", ()) if name != "inplace")
    return _fresh(type(old), **{name: getattr(old, name) for name in settings})


def _fresh(kind: type[nn.Module], **settings: Any) -> nn.Module:
    return kind(**settings)


class _Tracer(fx.Tracer):
    """Goes into what contains an activation, and leaves everything else whole, so that layers keep their names."""

    def __init__(self, holders: set[str]) -> None:
        super().__init__()
        self._holders = holders

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Is a module called rather than opened?"""
        return isinstance(m, _ELEMENTWISE) or module_qualified_name not in self._holders


class _Watch(TorchFunctionMode):
    """Tells of every call of an activation, by a module or a function."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _FUNCTIONS or func in _WITH_SETTINGS:
            self._tell()
        return func(*args, **(kwargs or {}))


def _holders(module: nn.Module, examples: Tensor) -> set[str]:
    """Names of the modules inside which an activation runs, found by one forward."""
    inside: list[str] = []
    found: set[str] = set()
    hooks = []
    for name, part in module.named_modules():
        hooks.append(part.register_forward_pre_hook(lambda _m, _i, name=name: inside.append(name)))
        hooks.append(part.register_forward_hook(lambda _m, _i, _o: inside.pop() and None))
    try:
        with _Watch(lambda: found.update(inside)):
            module(examples)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:160]
