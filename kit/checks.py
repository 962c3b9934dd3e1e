"""Checks of what a user gives, with one line of what would be right."""

from numbers import Integral


def whole(name, value, least, most=None, or_none=False):
    """`value` as Python's int; ValueError where it is no whole number from `least` (to `most`). None where allowed."""
    if value is None and or_none:
        return None
    number = isinstance(value, Integral) and not isinstance(value, bool)
    if not number or value < least or (most is not None and value > most):
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name}={value!r}; it must be a whole number {limits}")
    return int(value)
