"""Files of lines as people save them: one reader, the same entries everywhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kronviz.cli import check_output, check_output_folder
from kronviz.errors import InputError
from kronviz.lines import documents, read_lines, split_lines
from kronviz.probes.__main__ import main
from kronviz.probes.pairs import load_pairs

SENTENCES = ["The capital of France is Paris.", "The sun\x0crises\x85in the\u2028east\x1cnow."]


def test_a_process_ends_while_its_threads_compute_and_says_nothing_of_them() -> None:
    code = """
import atexit, threading, time
from concurrent.futures import ThreadPoolExecutor
from kronviz.cli import leave
pool = ThreadPoolExecutor(2)
def work():
    while True:
        list(pool.map(time.sleep, (0.01, 0.01)))
pool.submit(time.sleep, 0.5)
threading.Thread(target=work, daemon=True).start()
atexit.register(print, "files deleted")
time.sleep(0.1)
leave()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "files deleted\n", "")


def test_a_line_ends_at_a_line_feed_alone(tmp_path: Path) -> None:
    for mark in (b"", b"\xef\xbb\xbf"):
        for end in (b"\n", b"\r\n"):
            for last in (b"", b"\n", b"\n \n\n"):
                path = tmp_path / "lines.txt"
                path.write_bytes(mark + end.join(line.encode() for line in SENTENCES) + last)
                assert read_lines(path) == SENTENCES
                assert split_lines("\ufeff" + "\r\n".join(SENTENCES)) == SENTENCES


def test_what_is_no_file_of_lines_is_one_sentence(pair_folder: Path, tmp_path: Path) -> None:
    for data, said in (
        (b"", "is empty"),
        (b"\xef\xbb\xbf \r\n\t\n", "is empty"),
        ("Größe".encode("latin-1"), "not UTF-8"),
        ("text".encode("utf-16"), "is UTF-16"),
        (b"a\0b", "binary"),
        (b"a\n" * 5_001, "5,001 lines"),
        (b"a" * 2_000_001, "limit of 2 MB"),
    ):
        path = tmp_path / "lines.txt"
        path.write_bytes(data)
        for probe, option in (("sweep", "--sentences"), ("recovery", "--passages")):
            with pytest.raises(InputError, match=said):
                read_lines(path)
            assert main([probe, "--pair", str(pair_folder), option, str(path)]) == 2


def test_what_is_no_file_is_one_sentence() -> None:
    for path in ("nowhere.txt", ".", "/dev/zero", "x" * 300, "a\0b"):
        for read in (read_lines, lambda path: [*documents(path)]):
            with pytest.raises(InputError, match=r"\.$"):
                read(Path(path))


def test_a_folder_and_a_binary_file_are_no_documents(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"a\0b")
    for path, said in ((Path(), r"^\. is a folder"), (tmp_path / "x.txt", "x.txt is a binary")):
        for read in (read_lines, lambda path: [*documents(path)]):
            with pytest.raises(InputError, match=said):
                read(path)


def test_a_stray_quote_costs_one_row(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    rows = ["clean\ttypo", '"The cat\tTeh cat', "The sun\tTeh sun", '"a ""b"""\t"two\nlines"']
    path.write_text("\r\n".join([*rows, 'said "so" and\tsaid "os" and', "x\ty"]))
    found = load_pairs(path)
    assert [(pair.clean, pair.typo) for pair in found.pairs] == [
        ("The sun", "Teh sun"),
        ('a "b"', "two\nlines"),
        ('said "so" and', 'said "os" and'),
        ("x", "y"),
    ]
    (problem,) = found.problems
    assert problem.startswith("Row 1 (line 2): not a row of a table")


def test_where_a_result_cannot_be_written_is_said_before_the_run(
    pair_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "no" / "x.csv", tmp_path, tmp_path / "file" / "x", Path("/proc/x")):
        for option in ("--json", "--csv"):
            words = ["generate", "--pair", str(pair_folder), "--prompt", "A", option, str(path)]
            assert main(words) == 2
            said = capsys.readouterr()
            assert said.out == ""
            assert said.err.count("\n") == 1
    assert not (tmp_path / "x.csv").exists()


def test_a_result_replaces_no_file_that_is_read_and_no_other_result(
    pair_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    read, link = tmp_path / "mine.txt", tmp_path / "link.csv"
    read.write_text("The sun rises\n")
    link.symlink_to("mine.txt")
    words = ["robustness", "--pair", str(pair_folder), "--sentences", str(read)]
    for more in (
        ["--csv", str(link)],
        ["--json", str(read)],
        ["--csv", str(tmp_path / "x"), "--json", f"{tmp_path}/../{tmp_path.name}/x"],
    ):
        assert main([*words, *more]) == 2
        assert "named twice" in capsys.readouterr().err
    assert read.read_text() == "The sun rises\n"


def test_a_link_that_leads_nowhere_is_no_folder_for_results(tmp_path: Path) -> None:
    (tmp_path / "lost").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match="lost is not a folder"):
        check_output_folder(tmp_path / "lost" / "pair")
    check_output(tmp_path / "lost")
    assert (tmp_path / "lost").is_symlink()


def test_a_run_in_which_nothing_can_be_read_is_refused(
    pair_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "long.txt"
    path.write_text("word " * 3_000)
    table = tmp_path / "long.csv"
    table.write_text("clean,typo\n" + "word " * 300 + ",word\n")
    for words in (
        ["sweep", "--sentences", str(path), "--kinds", "swap", "--strengths", "1"],
        ["recovery", "--passages", str(path)],
        ["robustness", "--sentences", str(path)],
        ["robustness", "--pairs", str(table)],
    ):
        assert main([*words, "--pair", str(pair_folder)]) == 2
        assert "Shorten it" in (said := capsys.readouterr()).err or "limit is" in said.err
        assert said.out == ""
