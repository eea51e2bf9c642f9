"""Choose the address that the app listens on: the requested one, or none.

Gradio tries the next port if one is taken. A requested port may be known to others, so the app
exits instead. Without a request it takes another port and says so.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from kronviz.errors import InputError

PORT = 7860
_TRIED = 100


def host(environment: Mapping[str, str] = os.environ) -> str:
    """Return the address to listen on: on Spaces all addresses, else only this machine."""
    fallback = "0.0.0.0" if environment.get("SPACE_ID") else "127.0.0.1"
    return environment.get("GRADIO_SERVER_NAME") or fallback


def port(environment: Mapping[str, str] = os.environ) -> int:
    """Return the port to listen on: ``GRADIO_SERVER_PORT``, or a free one if that is not set.

    Raises:
        InputError: the requested port is taken, or is not a port.
    """
    given, address = environment.get("GRADIO_SERVER_PORT", "").strip(), host(environment)
    if given and given != "0":
        number = int(given) if given.isdecimal() and len(given) < 6 else 0
        if not 0 < number < 1 << 16:
            raise InputError(
                f"GRADIO_SERVER_PORT is {given[:40]!r}; give a whole number from 1 to 65535, or 0 "
                "for any free port."
            )
        if problem := _problem(address, number):
            raise InputError(
                f"kronviz cannot listen on {address}, port {number} ({problem}); end what uses it, "
                "or choose another with GRADIO_SERVER_PORT, 0 for any free one."
            )
        return number
    for number in range(PORT, PORT + _TRIED):
        if not (problem := _problem(address, number)):
            if number != PORT:
                print(f"Port {PORT} is taken; kronviz takes {number}.", flush=True)
            return number
    raise InputError(
        f"kronviz cannot listen on {address}, ports {PORT} to {PORT + _TRIED - 1} ({problem}); "
        "check GRADIO_SERVER_NAME, or choose a port with GRADIO_SERVER_PORT."
    )


def _problem(address: str, number: int) -> str:
    """Return why it is impossible to listen there; empty if it is possible."""
    try:
        addresses = socket.getaddrinfo(
            address.strip("[]"), number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, place in addresses:
            with socket.socket(family, kind, protocol) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind(place)
    except (OSError, UnicodeError) as error:
        return (getattr(error, "strerror", None) or "no such address").lower()
    return ""
