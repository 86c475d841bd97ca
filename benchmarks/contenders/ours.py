"""sharedmap: with a hash index, on huge pages, without the hash index, and following."""

import inspect
from typing import Any, ClassVar

from .base import Contender


class SharedMap(Contender):
    """sharedmap.share(d, name): sorted records and a hash index."""

    name = "sharedmap"
    title = "sharedmap (hash)"
    modules = ("sharedmap",)
    distributions = ("sharedmap",)
    largest = 1_000_000_000
    many = "m.get_many(q)"
    prefix = "list(m.prefix(k).items())"
    walk = "sum(1 for _ in m.items())"
    why: ClassVar[dict[str, str]] = {"newest": "measured with follow=True"}
    index: ClassVar[str] = "hash"
    follow: ClassVar[bool] = False
    huge_pages: ClassVar[bool] = False

    def start(self) -> None:
        import sharedmap

        self.keywords: dict[str, Any] = {"force": True, "index": self.index}
        if offers_huge_pages():
            self.keywords["huge_pages"] = self.huge_pages
        self.share = sharedmap.share

    def publish(self, data: dict[str, str]) -> None:
        self.share(data, self.place, **self.keywords)

    def published_bytes(self) -> int:
        with self.open()["m"] as m:
            return m.nbytes

    def imports(self) -> None:
        import sharedmap

        self.sharedmap = sharedmap.sharedmap

    def open(self) -> dict[str, Any]:
        if not hasattr(self, "sharedmap"):
            self.imports()
        if self.follow:
            return {"m": self.sharedmap(self.place, follow=True)}
        return {"m": self.sharedmap(self.place)}

    def close(self, names: dict[str, Any]) -> None:
        names.pop("m").close()

    def remove(self) -> None:
        import sharedmap

        sharedmap.remove(self.place)


class SharedMapTree(SharedMap):
    """index="tree": smaller, and every lookup is a search."""

    name = "sharedmap-tree"
    title = "sharedmap (tree)"
    index = "tree"


class SharedMapFollow(SharedMap):
    """follow=True: each lookup first checks for a newer version."""

    name = "sharedmap-follow"
    title = "sharedmap (hash, follow)"
    newest = "m[k]"
    follow = True


class SharedMapHuge(SharedMap):
    """The same bytes on pages of 2 MiB."""

    name = "sharedmap-huge"
    title = "sharedmap (hash, huge pages)"
    huge_pages = True

    @classmethod
    def missing(cls) -> str | None:
        reason = super().missing()
        if reason is None and not offers_huge_pages():
            reason = "sharedmap.share() of this version has no keyword huge_pages"
        return reason


def offers_huge_pages() -> bool:
    import sharedmap

    return "huge_pages" in inspect.signature(sharedmap.share).parameters
