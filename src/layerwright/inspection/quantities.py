"""Numbers for people: counts with thousands, memory in powers of 1024."""

_COUNTS = ("", " K", " M", " G", " T", " P")
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def short_count(number: int) -> str:
    """Return a count with three digits, such as "1.23 M"."""
    return _scaled(float(number), 1000, _COUNTS, "")


def memory(num_bytes: int) -> str:
    """Return an amount of memory, such as "1.50 MiB"."""
    return _scaled(float(num_bytes), 1024, _BYTES, " ")


def share(value: float | None) -> str:
    """Return a share in per cent; "not measured" for None."""
    return "not measured" if value is None else f"{value:.1%}"


def _scaled(number: float, step: int, units: tuple[str, ...], between: str) -> str:
    place = 0
    while number >= step * 0.9995 and place < len(units) - 1:
        number /= step
        place += 1
    if place == 0:
        return f"{number:.0f}{between}{units[0]}".rstrip()
    digits = 2 if number < 9.995 else 1 if number < 99.95 else 0
    return f"{number:.{digits}f}{between}{units[place]}"
