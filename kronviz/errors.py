"""Errors for users: the message is one sentence that says what is wrong and what to do."""

from __future__ import annotations


class Sentence(Exception):
    """An error whose message can be shown to a user unchanged."""


class InputError(Sentence, ValueError):
    """An input cannot be used; the message says why and what to do."""


def count(amount: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural, for a sentence."""
    return f"{amount:,} {noun}" + ("" if amount == 1 else "s")
