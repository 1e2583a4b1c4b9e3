"""What a donation is, how a file of them is read, and what zakat is due: no cluster in here."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

COLUMNS = ("id", "donor", "region", "amount", "currency")
ZAKAT_RATE = Decimal("0.025")
CENT = Decimal("0.01")
AMOUNT_MAX = Decimal(10) ** 15  # well inside the 28 digits Decimal computes with


class UnreadableFile(Exception):
    """The file as a whole cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Donation:
    id: str
    donor: str
    region: str
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class BadRow:
    line: int
    problem: str


def read(path: Path) -> tuple[list[Donation], list[BadRow]]:
    """Return the good rows and the bad ones, each bad one with its line number in the file.

    A row is one line, so that an unclosed quote spoils its own line and not the rest of the file.

    Raises:
        UnreadableFile: it is not there, is no file, or its first line lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            header = _split(file.readline())
            missing = [column for column in COLUMNS if column not in header]
            if missing:
                raise UnreadableFile(f"{path}: column {', '.join(missing)} is missing; needed are {', '.join(COLUMNS)}")
            return _sort_rows(header, enumerate(file, 2))
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror}") from error
    except ValueError as error:  # of the header: those of the rows are reported row by row
        raise UnreadableFile(f"{path}: the first line is {error}") from error


def zakat_of(amount: Decimal) -> Decimal:
    """Return 2.5 % of ``amount``, exactly: rounding is for the total alone."""
    return amount * ZAKAT_RATE


def totals(amounts: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    """Return the sum per currency, to the cent, of ``(currency, amount)`` pairs."""
    sums: dict[str, Decimal] = {}
    for currency, amount in amounts:
        sums[currency] = sums.get(currency, Decimal(0)) + amount
    return {currency: sums[currency].quantize(CENT) for currency in sorted(sums)}


def _sort_rows(header: list[str], lines: Iterable[tuple[int, str]]) -> tuple[list[Donation], list[BadRow]]:
    good: dict[str, Donation] = {}
    bad: list[BadRow] = []
    for number, line in lines:
        try:
            if line.strip():
                donation = _parse(header, line)
                if donation.id in good:
                    raise ValueError(f"id {donation.id} stands in the file already")
                good[donation.id] = donation
        except ValueError as error:
            bad.append(BadRow(number, str(error)))
    return list(good.values()), bad


def _split(line: str) -> list[str]:
    """Return the fields of one line.

    Raises:
        ValueError: it is not UTF-8 or not CSV.
    """
    try:
        line.encode()
        return [field.strip() for field in next(csv.reader([line], strict=True), [])]
    except UnicodeEncodeError:
        raise ValueError("not text in UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}") from None


def _parse(header: list[str], line: str) -> Donation:
    fields = _split(line)
    if len(fields) != len(header):
        raise ValueError(f"{len(fields)} fields, not {len(header)}")
    values = dict(zip(header, fields, strict=True))
    for column in COLUMNS:
        if not values[column]:
            raise ValueError(f"{column} is empty")
    return Donation(values["id"], values["donor"], values["region"], _amount(values["amount"]), values["currency"])


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"amount {text!r} is not a number") from None
    if not amount.is_finite() or not 0 < amount < AMOUNT_MAX:
        raise ValueError(f"amount {text} is not between 0 and {AMOUNT_MAX:,}")
    if amount != amount.quantize(CENT):
        raise ValueError(f"amount {text} has parts of a cent")
    return amount
