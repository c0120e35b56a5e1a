"""A server that nobody looks after removes what is past its time."""

LOOK = """
import time
from datetime import timedelta
from django.utils import timezone
from oauth.models import Housekeeping

done = Housekeeping.objects.filter(due_at__gt=timezone.now() + timedelta(hours=23))
give_up_at = time.monotonic() + 60
while not done.exists() and time.monotonic() < give_up_at:
    time.sleep(0.1)
print("rounds:", done.count())
"""


def test_one_of_its_processes_does_a_round_soon_after_the_start(server):
    assert "rounds: 1" in server.manage("shell", "-c", LOOK)
