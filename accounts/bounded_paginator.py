"""Pages of a list whose rows are counted up to a limit: nobody turns a hundred pages, and a large table is not read for their number."""

from typing import Any

from django.core.paginator import Paginator
from django.utils.functional import cached_property

MOST = 10_000


class BoundedPaginator(Paginator[Any]):
    @cached_property
    def _seen(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[: MOST + 1].count())  # by the database: ten thousand ids take their time to be read

    @cached_property
    def count(self) -> int:
        return min(self._seen, MOST)

    @property
    def is_cut(self) -> bool:
        return self._seen > MOST
