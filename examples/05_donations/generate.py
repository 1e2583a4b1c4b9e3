"""Write donations.csv: 10,000 donations of 1,000 donors, the same ones on every machine.

python examples/05_donations/generate.py
"""

import csv
import random
from decimal import Decimal
from pathlib import Path

SEED = 571
DONORS_COUNT = 1_000
DONATIONS_COUNT = 10_000
CURRENCY_OF = {
    "Gulf": "AED",
    "Levant": "JOD",
    "Maghreb": "MAD",
    "Nusantara": "IDR",
    "South Asia": "PKR",
    "Europe": "EUR",
}
UNITS_OF = {"AED": 4, "JOD": 1, "MAD": 10, "IDR": 16_000, "PKR": 280, "EUR": 1}  # about one dollar
COLUMNS = ("id", "donor", "region", "amount", "currency")


def donations() -> list[tuple[str, str, str, Decimal, str]]:
    """Return the rows: every donor gives at least once; most gifts are small, a few are large."""
    rng = random.Random(SEED)
    regions = sorted(CURRENCY_OF)
    region_of = {f"D-{number:04}": regions[rng.randrange(len(regions))] for number in range(1, DONORS_COUNT + 1)}
    donors = sorted(region_of)
    giving = donors + [donors[rng.randrange(DONORS_COUNT)] for _ in range(DONATIONS_COUNT - DONORS_COUNT)]
    rng.shuffle(giving)
    rows = []
    for number, donor in enumerate(giving, 1):
        currency = CURRENCY_OF[region_of[donor]]
        cents = (100 + rng.randrange(10_000) * (1 + 40 * (rng.randrange(20) == 0))) * UNITS_OF[currency]
        rows.append((f"DON-{number:05}", donor, region_of[donor], Decimal(cents).scaleb(-2), currency))
    return rows


def write(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(donations())


if __name__ == "__main__":
    write(Path(__file__).with_name("donations.csv"))
