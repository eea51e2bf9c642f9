"""Call every endpoint of a running app at random: none may return a 500 or show a traceback.

    python benchmarks/fuzz.py [--calls 600] [--seconds 200] [--seed 1] [--url http://127.0.0.1:7860/]

Without ``--url`` it starts the app on a free port. A call goes to a named endpoint, in one of
Gradio's two ways, with values of the right kind, of the wrong kind, too long, missing or unknown.
Some calls send a body that is not JSON, or address a listener of the page by its number, and some
are those of `hostile.py`: nested bodies, endless uploads, broken ranges, abandoned runs. Long
probes get small inputs, and a call without an answer within seconds is abandoned, as by an
impatient visitor. After ``--seconds`` no further call is made; the figures cover the calls made so
far. ``--faults`` starts an app in which one batch in ten raises an error of memory, of the program,
or of the terminal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from typing import Any

import httpx
from hostile import KINDS, QUICK, Fault
from running import ROOT, App

sys.path.insert(0, str(ROOT / "tests"))

from odd_inputs import ODD

AT_ONCE = 8
PATIENCE_S, TELL_S = 5.0, 10.0
"""Seconds that a visitor waits for an answer, and seconds between progress messages."""
SMALL: dict[str, Any] = {
    "count": 10, "repeats": 1, "seeds": 1, "max_tokens": 4, "tries": 1, "later": 2, "tokens": 16,
    "strengths": [1], "strings": ["zorb"], "prompts": ["The {} is"], "sentences": ["The sun rises"],
    "passages": ["The sun rises in the east and sets in the west, as it has always done here."],
    "pairs": [{"clean": "The sun", "typo": "Teh sun"}], "d_model": 64, "limit": 3, "k": 3,
}  # fmt: skip
"""Values that keep a probe short."""
SLOW = {
    "layers", "measure", "robustness", "sweep", "recovery", "echo", "inside_pairs", "continuation",
    "minimal_pairs", "table", "lay_out",
}  # fmt: skip
"""Endpoints that take seconds even for small inputs; only one call in forty is made."""
TELLTALES = ("Traceback", "site-packages", "/kronviz/", str(ROOT), 'File "')
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 10**9, 10**30, -0.5, 1e308, "", "0", [], [[]], {}, {"a": 1},
    float("nan"), float("-inf"), -(10**30), 1.0, 2.5, [float("nan")], [True], [[["x"]]], "\ud800",
    "a" + "\u0301" * 10_000, "\0" * 100, "\u202eabc",
    10**400, 2**63, "<img src=x onerror=alert(1)>", "a\0b", "x" * 5_000, "{0.__class__}", [1.5],
    [None], ["x"] * 300, {"path": "/etc/passwd"}, {"__type__": "update", "value": 1},
)  # fmt: skip


class Fuzzer:
    """Random calls, from a seed, to the endpoints that an app lists."""

    def __init__(self, info: dict[str, Any], listeners: int, seed: int):
        self.endpoints = {
            name.lstrip("/"): found["parameters"] for name, found in info["named_endpoints"].items()
        }
        self.listeners = listeners
        self.random = random.Random(seed)

    def call(self) -> tuple[str, bytes]:
        """Return a path below ``/gradio_api/`` and a body."""
        chance = self.random.random()
        if chance < 0.05:
            return "queue/join" if chance < 0.02 else "run/predict", self._listener()
        name = self.random.choice(list(self.endpoints))
        parameters = self.endpoints[name]
        if chance < 0.08:
            name = self.random.choice((name + "x", "..", "%00", "compare/../info", "a" * 3000))
        odd = self.random.random()
        if name in SLOW and self.random.random() > 1 / 40:
            odd = 0.0  # at least one value of the wrong kind
        values = {one["parameter_name"]: self._value(one, odd) for one in parameters}
        # Two of them may exclude each other.
        values = {
            one["parameter_name"]: values[one["parameter_name"]]
            for one in parameters
            if not one["parameter_has_default"] or self.random.random() < 0.7
        }
        if name in SLOW and odd == 0.0:
            values["pair"] = self.random.choice((5, "nothing", ["x"], {"a": "b"}))
        elif self.random.random() < 0.5:
            values.pop("pair", None)
        body: Any = values
        path = f"call/v2/{name}"
        if self.random.random() < 0.3:
            path = f"call/{name}"
            body = {
                "data": [
                    values.get(one["parameter_name"], one.get("parameter_default"))
                    for one in parameters
                ]
            }
            if self.random.random() < 0.1:
                body["data"] = body["data"][: self.random.randrange(len(parameters) + 1)]
        if self.random.random() < 0.03:
            body = self.random.choice((*ODD_VALUES, {"data": "x"}, {"data": {}}, {"other": 1}))
        written = json.dumps(body).encode()
        if self.random.random() < 0.02:
            written = self.random.choice(
                (
                    b"",
                    b"{",
                    b"\xff\xfe",
                    written[:-1],
                    b"[" * 50_000,
                    b'{"clean": NaN}',
                    b'{"text": "a", "text": ' + b"9" * 5_000 + b"}",
                )
            )
        return path, written

    def _value(self, parameter: dict[str, Any], odd: float) -> Any:
        name = parameter["parameter_name"]
        if self.random.random() < odd * 0.4:
            return self.random.choice(ODD_VALUES)
        if name in SMALL:
            return SMALL[name]
        if parameter["type"].get("type") == "string" and name not in ("pair", "vocabulary", "rule"):
            return self.random.choice(ODD)
        return parameter.get("parameter_default")

    def _listener(self) -> bytes:
        data = [self.random.choice(ODD_VALUES) for _ in range(self.random.randrange(8))]
        number = self.random.choice((self.random.randrange(self.listeners), -1, None, "x", 10**6))
        visitor = self.random.choice(("visitor", "", None, 5, "v" * 1000))
        return json.dumps({"data": data, "fn_index": number, "session_hash": visitor}).encode()


async def answered(client: httpx.AsyncClient, url: str, path: str, body: bytes) -> tuple[str, str]:
    """Make a call; return the kind of its answer, and its text."""
    headers = {"content-type": "application/json"}
    answer = await client.post(f"{url}gradio_api/{path}", content=body, headers=headers)
    if answer.status_code != 200 or not path.startswith("call/"):
        return str(answer.status_code), answer.text
    event = answer.json()["event_id"]
    try:
        async with asyncio.timeout(PATIENCE_S):
            told = (await client.get(f"{url}gradio_api/{path}/{event}")).text
    except TimeoutError:
        return "left", ""
    # A busy app sends heartbeats before its answer.
    said = "\n\n".join(part for part in told.split("\n\n") if "event: heartbeat" not in part)
    return ("answered" if "event: complete" in said else "refused"), said


async def fuzz(
    url: str, calls: int, seed: int, seconds: float = 3600.0
) -> tuple[Counter[str], list[str]]:
    """Make random calls, a few at a time; return counts of kinds of answers, and the faults.

    Args:
        seconds: time after which no further call is made.
    """
    began = told = time.monotonic()
    kinds: Counter[str] = Counter()
    faults: list[str] = []
    async with httpx.AsyncClient(timeout=120, trust_env=False) as client:
        info = (await client.get(f"{url}gradio_api/info")).json()
        config = (await client.get(f"{url}config")).json()
        fuzzer = Fuzzer(info, len(config["dependencies"]), seed)
        left = iter([fuzzer.call() for _ in range(calls)])

        async def work() -> None:
            nonlocal told
            for path, body in left:
                now = time.monotonic()
                if now - began > seconds:
                    return
                if now - told > TELL_S:
                    told = now
                    print(f"  {sum(kinds.values()):,} of {calls:,}", file=sys.stderr, flush=True)
                if fuzzer.random.random() < 0.03:
                    known = KINDS if fuzzer.random.random() < 0.05 else QUICK
                    attack = fuzzer.random.choice(known)
                    try:
                        await attack(client, url, fuzzer.random)
                    except (Fault, httpx.HTTPError, ValueError) as error:
                        faults.append(f"{attack.__name__}: {error!r}")
                    kinds[attack.__name__] += 1
                    continue
                try:
                    kind, said = await answered(client, url, path, body)
                except (httpx.HTTPError, ValueError) as error:
                    kind, said = "broken off", repr(error)
                kinds[kind] += 1
                silent = kind == "refused" and "data: null" in said
                if kind == "broken off" or kind.startswith("5") or silent:
                    faults.append(f"{kind}: {path[:60]} {body[:200]!r} {said[:200]}")
                elif any(word in said for word in TELLTALES) and kind != "answered":
                    faults.append(f"shows its insides: {path[:60]} {body[:200]!r} {said[:300]}")

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return kinds, faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--calls", type=int, default=600)
    parser.add_argument("--seconds", type=float, default=200.0, help="make no call after this long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--url")
    parser.add_argument("--faults", action="store_true", help="errors inside the app's probes")
    arguments = parser.parse_args()
    app, url = None, arguments.url
    if url is None:
        app = App("benchmarks/faulty.py" if arguments.faults else "app.py")
        url = app.url
        app.wait()
    started = time.perf_counter()
    try:
        kinds, faults = asyncio.run(fuzz(url, arguments.calls, arguments.seed, arguments.seconds))
    finally:
        log = app.stop() if app is not None else ""
    made = f"{sum(kinds.values()):,} of {arguments.calls:,}"
    print(f"{made} calls in {time.perf_counter() - started:.0f} s:", end=" ")
    print(", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items())))
    print(f"500s, broken answers, tracebacks, paths: {len(faults)}")
    for fault in faults[:10]:
        print(" ", fault)
    # Injected errors are logged; errors of the requests themselves must not be.
    if "could not be answered" in log:
        print("the log of the app:", log[-3000:])
    return int(bool(faults))


if __name__ == "__main__":
    raise SystemExit(main())
