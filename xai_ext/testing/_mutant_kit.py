"""What a broken method is, and short ways to break a correct one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from xai_ext.game import Game, MaskedModel
from xai_ext.testing._twins import Twin


@dataclass(frozen=True)
class Mutant:
    """A broken method, the checks that must see it, and the tags that it lies about."""

    name: str
    cls: Any
    caught_by: tuple[str, ...]
    tags: Mapping[str, Any] = field(default_factory=dict)


MUTANTS: list[Mutant] = []


def caught_by(*checks: str, **tags: Any) -> Callable[[Any], Any]:
    """List a class or function as a mutant that these checks must catch."""

    def register(cls: Any) -> Any:
        MUTANTS.append(Mutant(cls.__name__, cls, checks, tags))
        return cls

    return register


def after(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """An ``attribute`` whose result is changed."""

    def attribute(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return change(Twin.attribute(self, inputs, *args, **kwargs))

    return attribute


def before(change: Callable[..., Any]) -> Callable[..., Any]:
    """An ``attribute`` before which something happens: ``change(method, inputs)`` returns the inputs."""

    def attribute(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return Twin.attribute(self, change(self, inputs), *args, **kwargs)

    return attribute


def valued(change: Callable[[Any], Any], base: type = Twin) -> type:
    """A twin whose players' values are changed."""

    def changed(self: Any, explanation: Any) -> Any:
        return replace(explanation, values=change(explanation.values))

    return type("Valued", (base,), {"changed": changed})


def named(name: str, cls: type, *checks: str, **tags: Any) -> None:
    """List a class under a name."""
    MUTANTS.append(Mutant(name, cls, checks, tags))


def changing(name: str, *checks: str, **attributes: Any) -> None:
    """A twin with other attributes."""
    named(name, type(name, (Twin,), attributes), *checks)


def rebuilt(example: Any, forward: Any) -> Game:
    """The game of an example with another forward function."""
    model = example.game.masked_model
    again = MaskedModel(forward, model.inputs, model.baselines, batch_size=model.batch_size)
    return Game(again, example.game.labels)
