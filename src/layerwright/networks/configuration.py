"""A network's options as one frozen object, given whole or one by one."""

from dataclasses import fields, replace
from typing import Any, TypeVar

from layerwright.errors import OptionError
from layerwright.names import nearest

Config = TypeVar("Config")


def configured(
    network: str, kind: type[Config], config: Config | None, options: dict[str, Any]
) -> Config:
    """Return the configuration that a constructor was given.

    Args:
        network: name of the network, for the message.
        kind: the frozen dataclass that holds its options, which checks them itself.
        config: one of it, or None for its default values.
        options: values that take the place of those in `config`.

    Raises:
        OptionError: `config` is something else, or an option is unknown.
    """
    if config is None:
        config = kind()
    elif not isinstance(config, kind):
        raise OptionError(
            f"{network} expected config to be a {kind.__name__}, received {config!r}."
        )
    known = {field.name: None for field in fields(config)}  # type: ignore[arg-type]
    for name in options:
        if name not in known:
            near = nearest(name, known)
            hint = f"Did you mean {near!r}?" if near else f"Known: {', '.join(known)}."
            raise OptionError(f"{network} has no option {name!r}. {hint}")
    return replace(config, **options)  # type: ignore[type-var]
