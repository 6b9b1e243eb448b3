"""Kept: arguments of compiled code, handed over once and then named by one pointer.

numba takes every array of a call apart, each time: 60 arrays cost some 50 us right after a step of physics.
"""

from __future__ import annotations

from typing import Any

from numba import njit, types
from numba.experimental import structref
from numba.extending import overload


@structref.register
class _KeptType(types.StructRef):
    """The type of Kept in compiled code, where its `what` is a tuple."""


class Kept(structref.StructRefProxy):
    """Holds a tuple (of arrays, numbers, named tuples of them) for compiled code, which reads it as `.what`."""

    def __new__(cls, what: Any) -> Kept:
        """Takes the tuple apart, this once; the arrays live as long as this does."""
        return _keep(what)


structref.define_boxing(_KeptType, Kept)


@overload(Kept)
def _made(what):
    kind = _KeptType([("what", what)])

    def make(what):
        kept = structref.new(kind)  # type: ignore[call-arg]  numba gives the first one
        kept.what = what
        return kept

    return make


@njit(cache=True)
def _keep(what):
    return Kept(what)
