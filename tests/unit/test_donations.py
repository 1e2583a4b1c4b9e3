"""The file of donations of example 05: what is read, what is refused, what zakat is due."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "05_donations"
HEADER = "id,donor,region,amount,currency\n"


def load(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    """Import a module of the example, which is a folder of scripts and no package."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return __import__(name)


@pytest.fixture
def donations(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load(monkeypatch, "donations")


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "donations.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_generator_writes_the_committed_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    load(monkeypatch, "generate").write(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (EXAMPLE / "donations.csv").read_bytes()


def test_read_of_committed_file_finds_10000_donations_of_1000_donors(donations: ModuleType) -> None:
    good, bad = donations.read(EXAMPLE / "donations.csv")
    assert (len(good), len({each.donor for each in good}), bad) == (10_000, 1_000, [])


def test_read_keeps_amounts_exact_and_columns_in_any_order(donations: ModuleType, tmp_path: Path) -> None:
    good, bad = donations.read(written(tmp_path, "amount,id,currency,region,donor,note\n0.10,A,EUR,Europe,D-1,x\n"))
    assert good == [donations.Donation("A", "D-1", "Europe", Decimal("0.10"), "EUR")]
    assert bad == []


BAD_ROWS = {
    "A,D-1,r,ten,EUR": "amount 'ten' is not a number",
    'A,D-1,r,"10.00,EUR': "not CSV: unexpected end of data",
    "A,,r,10.00,EUR": "donor is empty",
    "A,D-1,r,-3,EUR": "amount -3 is not between 0 and 1,000,000,000,000,000",
    "A,D-1,r,0,EUR": "amount 0 is not between 0 and 1,000,000,000,000,000",
    "A,D-1,r,NaN,EUR": "amount NaN is not between 0 and 1,000,000,000,000,000",
    "A,D-1,r,1e40,EUR": "amount 1e40 is not between 0 and 1,000,000,000,000,000",
    "A,D-1,r,1.001,EUR": "amount 1.001 has parts of a cent",
    "A,D-1,r,1.00,EUR,x": "6 fields, not 5",
    "A,D-1": "2 fields, not 5",
    "GOOD,D-1,r,1.00,EUR": "id GOOD stands in the file already",
    "A,D\udcff,r,1.00,EUR": "not text in UTF-8",
}


@pytest.mark.parametrize(("row", "problem"), BAD_ROWS.items(), ids=BAD_ROWS.values())
def test_read_reports_bad_row_with_its_line_and_keeps_the_rest(
    donations: ModuleType, tmp_path: Path, row: str, problem: str
) -> None:
    text = f"{HEADER}GOOD,D-1,r,1.00,EUR\n\n{row}\nLAST,D-2,r,2.00,EUR\n".encode(errors="surrogateescape")
    good, bad = donations.read(written(tmp_path, text))
    assert [each.id for each in good] == ["GOOD", "LAST"]
    assert bad == [donations.BadRow(4, problem)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "column id, donor, region, amount, currency is missing"),
        ("id,donor,region,currency\n", "column amount is missing"),
        (b"\x7fELF\xff\xfe\n", "the first line is not text in UTF-8"),
    ],
)
def test_read_of_unusable_file_raises(donations: ModuleType, tmp_path: Path, text: str | bytes, problem: str) -> None:
    with pytest.raises(donations.UnreadableFile, match=problem):
        donations.read(written(tmp_path, text))


def test_read_of_missing_file_raises(donations: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(donations.UnreadableFile, match="No such file"):
        donations.read(tmp_path / "nowhere.csv")


def test_totals_round_the_sum_and_not_its_parts(donations: ModuleType) -> None:
    zakat = [("EUR", donations.zakat_of(Decimal("0.10"))) for _ in range(4)]  # 0.0025 each
    assert donations.totals([*zakat, ("AED", Decimal("2.00"))]) == {"AED": Decimal("2.00"), "EUR": Decimal("0.01")}
