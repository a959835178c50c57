"""What is raised where weights would have to be fetched and cannot be."""

from __future__ import annotations

from ..errors import InputError


class NoAnswer(Exception):
    """No server could be reached, or none that answers, or none must be asked."""


class NotHere(InputError):
    """Weights are not on this machine, and there is no network or it must not be used."""
