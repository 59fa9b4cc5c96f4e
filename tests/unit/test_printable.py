"""What peers wrote gives a terminal no orders."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.cli.logs import configure_logging, only_printable
from fedchain.cli.output import note, print_json, print_pairs, print_rows
from fedchain.printable import escaped, one_line, printable

ORDERS = "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202egnp \x7f\x00"
ODD = ("\x1b", "\x07", "\x9b", "\u202e", "\x7f", "\x00")


def assert_harmless(text: str) -> None:
    assert not [one for one in ODD if one in text]


def test_escapes_and_marks_of_direction_are_replaced_and_words_stay() -> None:
    assert printable("Grüße, 東京: plain\ttext\n") == "Grüße, 東京: plain\ttext\n"
    assert printable("a\x1b[2Jb\u202ec") == "a\ufffd[2Jb\ufffdc"
    assert one_line("a\nb\t\x1bc ") == "a b \ufffdc"


@given(st.text())
def test_escaped_json_means_the_same(text: str) -> None:
    shown = escaped(json.dumps({"reason": text}, ensure_ascii=False))
    assert json.loads(shown) == {"reason": text}
    assert_harmless(shown)


def test_no_way_to_the_terminal_lets_them_through(capsys: pytest.CaptureFixture[str]) -> None:
    note(ORDERS)
    print_pairs(ORDERS, [(ORDERS, ORDERS)])
    print_rows(ORDERS, [ORDERS], [[ORDERS]])
    print_json({"reason": ORDERS})
    out, err = capsys.readouterr()
    assert_harmless(out + err)
    assert out.count("owned") == 7
    assert json.loads(out[out.index("{") :])["reason"] == ORDERS


def test_nor_do_log_lines(capsys: pytest.CaptureFixture[str]) -> None:
    import structlog

    found = only_printable(None, "info", {"event": "a", "reason": ORDERS, "round": 3})
    assert_harmless(str(found["reason"]))
    assert found["round"] == 3
    configure_logging("info", as_json=False)
    structlog.get_logger("test").warning("a peer says", reason=ORDERS)
    err = capsys.readouterr().err
    assert "a peer says" in err
    assert "owned" in err
    assert_harmless(err)
