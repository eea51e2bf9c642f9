"""Texts that people, programs and attackers send: what every field and endpoint is tried with."""

from __future__ import annotations

MARKUP = (
    "<script>window.__ran = 1</script>",
    "</textarea><script>window.__ran = 1</script>",
    "<img src=x onerror=window.__ran=1>",
    "<svg/onload=window.__ran=1>",
    "<iframe srcdoc='<script>parent.__ran=1</script>'>",
    '"><img src=x onerror=window.__ran=1>',
    "' onmouseover=window.__ran=1 x='",
    "javascript:window.__ran=1",
    "<a href=javascript:window.__ran=1>go</a>",
    "<details open ontoggle=window.__ran=1>",
    "<body onload=window.__ran=1>",
    "<input autofocus onfocus=window.__ran=1>",
    "<video><source onerror=window.__ran=1>",
    "<math><mtext><script>window.__ran=1</script>",
    "<style>@import 'data:text/css,body{display:none}'</style>",
    "${window.__ran=1}",
    "{{window.__ran=1}}",
    "{{{value}}}",
    "`${window.__ran=1}`",
    "`); window.__ran=1; (`",
    "\\u003cscript\\u003ewindow.__ran=1\\u003c/script\\u003e",
    "&lt;script&gt;window.__ran=1&lt;/script&gt;",
    "<!--><script>window.__ran=1</script>-->",
    "]]><script>window.__ran=1</script>",
    '<div style="background:url(javascript:window.__ran=1)">',
    "<form action=javascript:window.__ran=1><button>go",
    "<base href=//example.invalid/>",
    "<meta http-equiv=refresh content=0;url=//example.invalid>",
    "<object data=javascript:window.__ran=1>",
    "<template shadowrootmode=open><script>window.__ran=1</script>",
)
BLANKS = ("", " ", "\t", "\n", "\r\n", "\u00a0", "\u2003 ", " " * 50, "\n" * 50, "\u3000")
LONG = (
    "a" * 100_000,
    " " * 100_000,
    "word " * 20_000,
    "\n" * 100_000,
    "👩‍🚀" * 20_000,
    "<b>" * 30_000,
    "é" * 2_001,
    "a" * 2_000,
    "ab" * 1_000,
)
SCRIPTS = (
    "नमस्ते दुनिया",
    "भारत की राजधानी है",
    "مرحبا بالعالم",
    "שלום עולם",
    "你好，世界",
    "こんにちは世界",
    "안녕하세요",
    "Здравствуй, мир",
    "Γειά σου Κόσμε",
    "สวัสดีชาวโลก",
    "ქართული",
    "አማርኛ",
    "ᚠᛇᚻ᛫ᛒᛦᚦ",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "ﷺ",
    "naïve café",
)
EMOJI = ("😀", "👩‍🚀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇫🇷", "👍🏽", "☃️", "😀" * 40, "a😀b", "🫠 is melting")
HALVES = (
    "\ud800",
    "\udfff",
    "a\ud83db",
    "\ude00\ud83d",
    "\ud800" * 5,
    "the \udc00 end",
    "\ud83d\ude00",
)
HIDDEN = (
    "a\u200bb",
    "a\u200db",
    "\ufeffstart",
    "\u202eright to left",
    "\u2066isolated\u2069",
    "soft\u00adhyphen",
    "\u2028line\u2029paragraph",
    "\ufffe\uffff",
    "\U000e0041tag",
    "variation\ufe0f",
)
ZALGO = tuple(
    "T" + "".join(chr(0x300 + (i * 7 + n) % 0x70) for i in range(30 * n)) for n in range(1, 5)
)
PLAIN = (
    "<|endoftext|>",
    "a<|endoftext|>b",
    "None",
    "null",
    "true",
    "0",
    "-1",
    "1e309",
    "NaN",
    "../../etc/passwd",
    "C:\\windows\\system32",
    "'; DROP TABLE users; --",
    "%s%n%x",
    "$(id)",
    "{0.__class__}",
    "[]",
    '{"a": 1}',
    "a,b;c\td",
    "I",
    "?",
    ".",
    "The",
    "The capital of France is",
    "THE CAPITAL OF FRANCE IS",
    "a b c d e f g",
    "one\ntwo\nthree",
    "tab\tseparated",
    "trailing space ",
    " leading space",
    "double  space",
)
CONTROLS = tuple(f"a{chr(code)}b" for code in (*range(0x20), *range(0x7F, 0xA0)))

ODD = (*MARKUP, *BLANKS, *LONG, *SCRIPTS, *EMOJI, *HALVES, *HIDDEN, *ZALGO, *PLAIN, *CONTROLS)
VARIED = tuple(text for text in ODD if text not in CONTROLS[3:])
"""All of them, with three control characters for all 63: for what takes long."""
FEW_MARKUP = MARKUP[::3]
FEW = (*FEW_MARKUP, *VARIED[len(MARKUP) :])
"""Those with a third of the markup: for pages of many parts that escape in one place."""
