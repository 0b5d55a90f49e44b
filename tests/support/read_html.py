"""HTML as a browser reads it, for tests of generated pages: elements with their attributes, and tables as text."""

from collections.abc import Iterator
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "img", "hr"}
CELLS = {"td", "th"}


class Document(HTMLParser):
    """Elements in their order, and all tables, row by row, each cell as (text, whether it is bold)."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[tuple[str, bool]]]] = []
        self.contents: dict[str, list[str]] = {}  # of script and style elements
        self.inside = ""
        self.sections: list[tuple[str, int]] = []  # id of each section, and how many tables stand before it
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, found))
        if tag in ("script", "style"):
            self.inside = tag
            self.contents.setdefault(tag, []).append("")
        elif tag == "section":
            self.sections.append((str(found["id"]), len(self.tables)))
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in CELLS:
            self.tables[-1][-1].append(("", found.get("class") == "b"))
            self.inside = "cell"
        elif tag != "small":
            self.inside = ""

    def handle_endtag(self, tag: str) -> None:
        if tag != "svg":
            self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "cell":
            text, bold = self.tables[-1][-1][-1]
            self.tables[-1][-1][-1] = (text + data.rstrip("\n"), bold)
        elif self.inside:
            self.contents[self.inside][-1] += data

    def by_section(self) -> Iterator[tuple[str, list[list[list[tuple[str, bool]]]]]]:
        """(id, its tables) of each section."""
        ends = [*(start for _, start in self.sections[1:]), len(self.tables)]
        for (name, start), end in zip(self.sections, ends, strict=True):
            yield name, self.tables[start:end]
