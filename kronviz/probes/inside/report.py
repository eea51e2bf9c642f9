"""The results of the probe."""

from __future__ import annotations

from dataclasses import dataclass

from kronviz.predictor import TokenView
from kronviz.probes.inside.attention import JoiningHead, Looks
from kronviz.probes.inside.attribution import Attribution
from kronviz.probes.inside.damage import Outcome
from kronviz.probes.inside.lens import LensLine
from kronviz.probes.inside.words import AlignedWord

BYTES = "bytes"


@dataclass(frozen=True)
class PatchMap:
    """Outcomes of patching one kind of thing everywhere.

    Attributes:
        thing: a name of `patching.THINGS`.
        outcomes: by row and aligned word. A row is a block or, for ``head``, a head; the heads of
            the first block come first.
    """

    thing: str
    outcomes: tuple[tuple[Outcome, ...], ...]


@dataclass(frozen=True)
class ArmInside:
    """One arm from the inside.

    Attributes:
        clean, typo: the predictions of the two runs.
        blocks, heads: number of blocks in the model, and of heads in each.
        maps: the patching maps computed so far.
        lens: the logit lens, see `lens`.
        looks: attention weights.
        joining: the heads that join a word's pieces.
        attribution: which byte does the damage, once computed.
    """

    arm: str
    clean: Outcome
    typo: Outcome
    blocks: int
    heads: int
    maps: tuple[PatchMap, ...]
    lens: tuple[LensLine, ...]
    looks: tuple[Looks, ...]
    joining: tuple[JoiningHead, ...]
    attribution: Attribution | None

    def map(self, thing: str) -> PatchMap | None:
        """Return the map of a thing, if it was computed."""
        return next((patched for patched in self.maps if patched.thing == thing), None)


@dataclass(frozen=True)
class Inside:
    """A clean and a misspelled text, followed through all arms of a pair.

    Attributes:
        pair: name of the pair.
        answer: the right answer, as given; may be empty.
        words: the tokens of both texts, aligned word by word.
        seconds: the time taken so far.
    """

    pair: str
    clean: str
    typo: str
    answer: str
    clean_tokens: tuple[TokenView, ...]
    typo_tokens: tuple[TokenView, ...]
    words: tuple[AlignedWord, ...]
    arms: tuple[ArmInside, ...]
    seconds: float

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the names of the parts computed so far."""
        if not self.arms:
            return ()
        things = tuple(patched.thing for patched in self.arms[0].maps)
        return (*things, BYTES) if self.arms[0].attribution else things

    def arm(self, name: str) -> ArmInside:
        """Return one arm."""
        return next(arm for arm in self.arms if arm.arm == name)
