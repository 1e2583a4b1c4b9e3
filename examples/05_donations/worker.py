"""The worker of one donor. It is started somewhere in the cluster, once, and moves when its node dies."""

from decimal import Decimal

from donations import zakat_of

import zmqcluster as zc
from zmqcluster import telemetry

STARTED = "donation_worker.started"


class DonationWorker(zc.GenServer):
    """Knows how many donations of its donor it processed since it was started."""

    def init(self, donor: str) -> None:
        self.donor, self.processed = donor, 0
        telemetry.emit(STARTED, donor=donor)

    @zc.call
    def process(self, amount: Decimal) -> Decimal:
        """Return the zakat due on ``amount``."""
        self.processed += 1
        return zakat_of(amount)
