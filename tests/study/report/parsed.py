"""A page as a reader's program sees it."""

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "wbr", "input"}


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.tables, self.texts = [], [], {}, []
        self._open, self._row = [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.attributes.append((tag, attrs))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self._table = self.tables.setdefault(attrs["id"].removeprefix("table-"), [])
        elif tag == "tr":
            self._row = []
            self._table.append(self._row)
        elif tag in ("td", "th"):
            self._row.append(float(attrs["data-value"]) if attrs.get("data-value") else "")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        where = self._open[-1] if self._open else ""
        self.texts.append((where, data))
        if self._row and isinstance(self._row[-1], str) and {"td", "th"} & set(self._open):
            self._row[-1] = (self._row[-1] + data).strip()

    def all(self, tag):
        return [attrs for name, attrs in self.attributes if name == tag]

    def text_of(self, tag):
        return "".join(text for where, text in self.texts if where == tag)
