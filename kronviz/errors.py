"""Errors that are meant for a person: the message is one sentence saying what is wrong."""

from __future__ import annotations


class Sentence(Exception):
    """An error whose message a page, an endpoint or a command may show as it is."""


class InputError(Sentence, ValueError):
    """An input cannot be used; the message is one sentence saying why and what to do."""
