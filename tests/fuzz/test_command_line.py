"""Any command line ends with a documented exit code or a refusal, never with another exception."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_lr.cli._main import build_parser, main
from keras_lr.errors import InvalidArgumentError
from tests.fuzz.conftest import FUZZ

KNOWN = (
    "demo find search analyze report devices --data --min-lr --max-lr --num-steps --sweep --repeats --json --report -o"
    " --output --title --fail-on --help --version --batch-size --seed 1e-3 -1 0 nan 1e999 train.py:build exponential"
)
WORDS = st.one_of(st.sampled_from(KNOWN.split()), st.text(max_size=12))


@FUZZ
@given(st.lists(WORDS, max_size=7))
def test_any_words_parse_or_are_refused(words: list[str]) -> None:
    code: object = 0
    try:
        build_parser().parse_args(words)
    except InvalidArgumentError:
        return
    except SystemExit as end:
        code = end.code
    assert code == 0


@FUZZ
@given(
    st.lists(
        st.one_of(st.sampled_from(["--json", "--fail-on", "too_high", "run.csv"]), st.text(max_size=8)), max_size=4
    )
)
def test_analyze_and_report_end_with_a_documented_exit_code(
    tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    folder: Path = tmp_path_factory.getbasetemp()
    words = [word.replace("/", "_") for word in words]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "run.csv").write_text("epoch,loss\n0,1\n1,0.5\n2,0.4\n")
        assert main(["analyze", *words]) in (0, 1, 2)
        assert main(["report", *words]) in (0, 2)
