"""A process receives a donation, then ends. One node, no network, no configuration.

python examples/01_hello.py
"""

from decimal import Decimal
from typing import Any

import zmqcluster as zc


async def processor() -> None:
    while True:
        match await zc.receive():
            case ("process", {"amount": amount}):
                print(f"Processed: ${amount}, Zakat: ${amount * Decimal('0.025'):.2f}")
            case "stop":
                return


async def main() -> None:  # runs as the node's first process
    pid, _ = zc.spawn_monitor(processor)
    donation: dict[str, Any] = {"donor": "Aisha", "amount": Decimal("1000.00")}
    zc.send(pid, ("process", donation))
    zc.send(pid, "stop")
    down = await zc.receive(zc.Down)
    print(f"The processor ended: {down.reason}")


if __name__ == "__main__":
    zc.run(main)

# Output:
# Processed: $1000.00, Zakat: $25.00
# The processor ended: Normal()
