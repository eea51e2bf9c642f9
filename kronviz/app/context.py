"""The context of every tab: the loaded pairs, the default one, and problems while loading.

Notable:

- Pairs are loaded once, before the first page is served, and never written to afterwards.
- A damaged pair becomes a sentence in `Context.problems`; the app opens with the others.
"""

from __future__ import annotations

import functools
import gc
import importlib.util
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
import torch

from kronviz.app.components import Links, Redrawn
from kronviz.checkpoint_files import FURTHER, list_pairs
from kronviz.errors import InputError, Sentence
from kronviz.lines import short_name
from kronviz.paths import CHECKPOINTS
from kronviz.predictor import Predictor
from kronviz.probes.own_model import Shelf
from kronviz.serving import Comparisons
from kronviz.strings import shown

PREFERRED = ("gpt2", "tiny")
_log = logging.getLogger("kronviz")


@dataclass(frozen=True)
class Context:
    """The state of the app, all of it read-only except for visitors' tables.

    Attributes:
        predictors: the loaded pairs by name, the default one first.
        problems: one sentence for each thing that could not be loaded.
        root: the folder that the pairs were loaded from.
        selector: the control that chooses the pair on screen, once the page has one.
        tab: the view that is being laid out.
        shelf: the tables that visitors uploaded, kept as long as their files would be.
        shared: controls of Compare that other tabs follow: ``clean``, ``typo`` and ``right``.
        links: what links to each view may contain, see `kronviz.app.components.links`.
        redrawn: what is drawn anew when other models are chosen.
        warming: functions that tabs want called once before their first visitor.
    """

    predictors: Mapping[str, Predictor]
    problems: tuple[str, ...] = ()
    root: Path = CHECKPOINTS
    selector: gr.Radio | None = None
    tab: gr.Tab | None = None
    shelf: Shelf = field(default_factory=Shelf)
    shared: dict[str, gr.components.Component] = field(default_factory=dict)
    links: Links = field(default_factory=Links)
    redrawn: Redrawn = field(default_factory=Redrawn)
    warming: list[Callable[[], object]] = field(default_factory=list)

    @property
    def default(self) -> str | None:
        """Name of the pair that the page opens with; ``None`` if no pair could be loaded."""
        return next(iter(self.predictors), None)

    @functools.cached_property
    def sizes(self) -> Mapping[str, str]:
        """Size of each pair's models, such as ``51M``: the parameters of its smallest arm."""
        return {
            name: f"{min(map(_parameters, predictor.arms.values())) / 1e6:.0f}M"
            for name, predictor in self.predictors.items()
        }

    def pair_field(self) -> gr.Radio:
        """Return the control that chooses the pair on screen; a hidden one if there is none."""
        return self.selector or gr.Radio(
            list(self.predictors), value=self.default, label="Pair of models", visible=False
        )

    def predictor(self, pair: str | None = None) -> Predictor:
        """Return the predictor of a pair, or of the default pair if ``pair`` is empty.

        Raises:
            InputError: there is no such pair.
        """
        name = pair or self.default
        if name is None:
            raise InputError("No model could be loaded, so there is nothing to compare with.")
        if name in self.predictors:
            return self.predictors[name]
        raise InputError(
            f"There is no pair of models called {shown(pair)}; choose "
            f"{' or '.join(self.predictors)}."
        )

    def linked(self, link: Mapping[str, str]) -> Predictor:
        """Return the predictor of the pair that a link's entries name, or of the default pair."""
        return self.predictors.get(link.get("pair", "")) or self.predictor()

    def folder(self, pair: str | None = None) -> Path:
        """Return the path of a pair, or of the default pair if ``pair`` is empty.

        ``+arm`` stays at the end of the name, see `kronviz.checkpoint_files.beside`.
        """
        return self.root / (pair or self.default or "")

    def comparisons(self, pair: str | None = None) -> Comparisons:
        """Return the comparisons of a pair, shared by all visitors; arguments as in `predictor`."""
        return _comparisons(self.predictor(pair))


@functools.lru_cache(maxsize=8)
def _comparisons(predictor: Predictor) -> Comparisons:
    return Comparisons(predictor)


def load_context(
    root: Path = CHECKPOINTS,
    device: torch.device | None = None,
    say: Callable[[str], object] = str,
) -> Context:
    """Load every pair in a folder and let each answer once, so that no visitor waits for that.

    Args:
        root: the folder of the pairs.
        device: as for `Predictor.load`.
        say: called with each problem as soon as it is found.
    """
    predictors: dict[str, Predictor] = {}
    problems: dict[str, None] = {}

    def tell(*messages: str) -> None:
        for problem in messages:
            if problem not in problems:
                problems[problem] = None
                say(problem)

    infos = {info.name: info for info in list_pairs(root, whole=True)}
    # What the files show is reported before the first pair is loaded.
    for name in sorted(infos, key=_preference):
        tell(*infos[name].problems)
    for name in sorted(infos, key=_preference):
        if not infos[name].arms:
            continue
        try:
            beside = predictors.get(name.partition(FURTHER)[0])
            predictor = Predictor.load(root / name, device, beside=beside)
            tell(*predictor.problems)
            predictor.compare("The first answer", "The frist answer")
        except Sentence as error:
            tell(str(error))
        except Exception:
            # Whatever is wrong with a pair, the others open.
            _log.exception("The pair %r cannot be used.", name)
            tell(f"The pair {short_name(name)} cannot be used; restore it. The log says why.")
        else:
            predictors[name] = predictor
    if not infos:
        tell(
            "There are no trained models here; train a small pair with `make train-tiny` and "
            "start again."
        )
    return Context(predictors, tuple(problems), root)


def warm(context: Context) -> None:
    """Call the functions in ``warming`` one after another; a visitor's request shows failures."""
    for first in context.warming:
        try:
            first()
        except Exception:
            _log.info("A first answer could not be made ready.", exc_info=True)
    # All of it stays. A full garbage collection, which a page load may start, would walk it again
    # and again, and let every other request wait for 0.7 s.
    gc.collect()
    gc.freeze()


def _preference(name: str) -> tuple[int, str]:
    folder = name.partition(FURTHER)[0]
    return (PREFERRED.index(folder) if folder in PREFERRED else len(PREFERRED)), name


def _parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def device() -> torch.device:
    """Return the device for all pairs: CUDA if there is a permanent GPU, else the CPU.

    ZeroGPU lends a GPU for one call, after a wait that is longer than these models take on a CPU,
    and never for a batch of many visitors. There the app answers on the CPU, and declares the one
    function that such a Space requires; ``spaces`` is imported nowhere else.
    """
    if lent_by_the_call():
        _name_a_function()
        return torch.device("cpu")
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def lent_by_the_call() -> bool:
    """Return whether this is a Space that lends its GPU for single calls."""
    return bool(os.environ.get("SPACES_ZERO_GPU")) and bool(importlib.util.find_spec("spaces"))


def _name_a_function() -> None:
    import spaces

    @spaces.GPU
    def gpu_name() -> str:
        """Return the name of the lent GPU."""
        return torch.cuda.get_device_name()
