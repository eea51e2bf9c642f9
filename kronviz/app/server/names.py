"""Names of endpoints: those that were published, whatever the page's listeners are called.

Gradio names every listener after its function, and of two with one name the later one ``…_1``,
though nobody can call the page's own by name. A function ``table`` of a tab took ``/table`` away.
"""

from __future__ import annotations

import re

import gradio as gr

_SUFFIX = re.compile(r"_\d+$")


def free_names(app: gr.Blocks) -> None:
    """Give every public endpoint of a finished app the name that it was published by.

    Raises:
        ValueError: two endpoints were published by one name.
    """
    public, taken = [], set()
    for number, function in app.fns.items():
        if function.api_visibility == "private":
            function.api_name = f"listener-{number}"
        else:
            public.append(function)
    for function in public:
        name = _SUFFIX.sub("", str(function.api_name))
        if name in taken:
            raise ValueError(f"two endpoints are called {name!r}")
        taken.add(name)
        function.api_name = name
