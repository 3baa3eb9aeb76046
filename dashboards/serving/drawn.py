"""A page of the live dashboard as it is sent: whole, or what of it differs from the page that a browser shows.

It travels as HTML, figures as text which the browser recolours before it reads it. Drawn pages are kept for a while:
several browsers then share one drawing, and what a browser shows is known by its tag alone.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from dashboards.elements import Element, graphs_in, slots_in
from dashboards.markup import to_html

MAX_KEPT: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """A page, ready to be sent."""

    tag: str
    """Names the page: link and state of the studies that it was drawn from."""

    title: str
    content: str
    """HTML of the whole page, its figures left out."""

    slots: Mapping[str, str]
    """HTML by name."""

    figures: Mapping[str, Mapping[str, Any]]
    """Text of the figure, its height and what it shows in words, by the graph's name."""

    frame: tuple[str, ...]
    """What stands around slots and figures: while it is the same, these can be changed in place."""

    def answer(self, before: "Drawn | None") -> dict[str, Any]:
        """Return what a browser that shows `before` must be sent to show this page."""
        common = {"tag": self.tag, "title": self.title}
        if before is None or before.frame != self.frame:
            return common | {"content": self.content, "figures": self.figures}
        return common | {
            "slots": {name: text for name, text in self.slots.items() if before.slots[name] != text},
            "figures": {name: sent for name, sent in self.figures.items() if before.figures[name] != sent},
        }


def draw(tree: Element, *, tag: str, title: str, kind: str) -> Drawn:
    """Return a page ready to be sent.

    Args:
        tree: the page.
        tag: its name.
        title: of the browser's window.
        kind: what pages that differ in slots and figures only have in common.
    """
    slots = {name: to_html(node) for name, node in slots_in([tree]).items()}
    figures = {
        graph.name: {
            "figure": graph.figure.to_json(),
            "height": int(graph.figure.layout.height),
            "label": graph.label,
        }
        for graph in graphs_in([tree])
    }
    frame = (kind, *slots, *figures)
    return Drawn(tag=tag, title=title, content=to_html(tree), slots=slots, figures=figures, frame=frame)


class DrawnPages:
    """The last pages drawn, by tag; shared by all browsers.

    They are drawn one after the other by one thread: Python would not draw two at once any faster, and what each of
    many threads frees stays with it, which at ten thousand candidates comes to half a gigabyte.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Drawn] = OrderedDict()
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="drawing")

    def get(self, tag: str) -> Drawn | None:
        """Return a page drawn before, if it is still known."""
        with self._lock:
            if tag in self._kept:
                self._kept.move_to_end(tag)
            return self._kept.get(tag)

    def get_or_draw(self, tag: str, draw_page: Callable[[], Drawn]) -> Drawn:
        """Return a page, drawn now if it is not known."""
        return self.get(tag) or self._thread.submit(self._draw, tag, draw_page).result()

    def _draw(self, tag: str, draw_page: Callable[[], Drawn]) -> Drawn:
        page = self.get(tag)  # somebody else may have asked for the same
        if page is None:
            page = draw_page()
            with self._lock:
                self._kept[tag] = page
                while len(self._kept) > MAX_KEPT:
                    self._kept.popitem(last=False)
        return page


def tag_of(*parts: object) -> str:
    """Return a short name of some values, which changes when their `repr` does."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()
