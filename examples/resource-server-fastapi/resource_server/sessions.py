"""The sessions of this service, in memory: they end with the process."""

from collections import OrderedDict, deque
from datetime import UTC, datetime
from uuid import uuid4

from pydantic import BaseModel, Field

PER_USER = 100
USERS = 10_000


class Session(BaseModel):
    id: str = Field(default_factory=lambda: str(uuid4()))
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class Sessions:
    """The newest of each user, of the users who made one last. A user is the `sub` of a token: nobody sees another's."""

    def __init__(self, *, per_user: int = PER_USER, users: int = USERS) -> None:
        self._per_user, self._users = per_user, users
        self._of: OrderedDict[str, deque[Session]] = OrderedDict()

    def of(self, user_id: str) -> list[Session]:
        return list(self._of.get(user_id, ()))

    def create(self, user_id: str) -> Session:
        session = Session()
        self._of.setdefault(user_id, deque(maxlen=self._per_user)).append(session)
        self._of.move_to_end(user_id)
        if len(self._of) > self._users:
            self._of.popitem(last=False)
        return session
