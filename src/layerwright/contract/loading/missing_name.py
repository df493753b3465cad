"""What stands for a name of a script that could not be bound."""

from typing import Any

from layerwright.errors import TargetError


class Missing:
    """Stands for a name that could not be bound; using it raises a TargetError that says why."""

    def __init__(self, why: str) -> None:
        self.__why__ = why

    def __getattr__(self, name: str) -> Any:
        """Refuse, except for names that Python itself asks for."""
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        raise TargetError(self.__why__)

    @classmethod
    def __torch_function__(
        cls,
        function: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Refuse to be an argument of torch's functions, also inside a shape."""
        given = [*args, *(kwargs or {}).values()]
        parts = [part for item in given for part in (item if type(item) is tuple else (item,))]
        found = [part for part in parts if isinstance(part, Missing)]
        raise TargetError(found[0].__why__ if found else "a name that is needed is not there")

    def __repr__(self) -> str:
        """Say why the name is not bound."""
        return f"<missing: {self.__why__}>"


def _refuse(self: Missing, *_: Any, **__: Any) -> Any:
    raise TargetError(self.__why__)


_OPERATIONS = """
call mro_entries instancecheck subclasscheck bool len iter next contains getitem setitem index int
float complex add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow
matmul rmatmul and rand or ror xor rxor lshift rlshift rshift rrshift neg pos abs invert lt le gt ge
enter exit
"""
for _name in _OPERATIONS.split():
    setattr(Missing, f"__{_name}__", _refuse)
