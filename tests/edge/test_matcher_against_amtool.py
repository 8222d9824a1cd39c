"""Our matchers beside Alertmanager's own, through its command-line tool.

Debian's amtool is 0.25, which knows the classic grammar and one meaning of each matcher. Compared are what it accepts,
how it reads it (`config routes show` prints every matcher in its canonical form) and which labels then match
(`config routes test`). Where the two part is written down in `DIFFERENCES`; everywhere else they must agree.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from webhook.core.matcher import Matcher, MatcherError, MatchType, all_match, parse_matchers

AMTOOL = shutil.which("amtool")


def run_amtool(*arguments: str) -> str:
    assert AMTOOL, "amtool is missing: install prometheus-alertmanager"
    done = subprocess.run([AMTOOL, *arguments], capture_output=True, timeout=60, check=False)
    return done.stdout.decode()


def write_routes(path: Path, texts: Sequence[str]) -> Path:
    """A configuration with one route for each text; its receiver's name is the text's number."""
    routes = [{"matchers": [text], "receiver": f"r{n}", "continue": True} for n, text in enumerate(texts)]
    receivers = [{"name": "nobody"}, *({"name": route["receiver"]} for route in routes)]
    tree = {"route": {"receiver": "nobody", "routes": routes}, "receivers": receivers}
    path.write_text(yaml.dump(tree, Dumper=yaml.CSafeDumper))
    return path


def accepted(folder: Path, texts: Sequence[str]) -> list[bool]:
    """Whether amtool takes each text as the matchers of a route."""
    files = [str(write_routes(folder / f"check{n}.yml", [text])) for n, text in enumerate(texts)]
    verdicts = re.findall(r"^Checking '(.*?)'  (SUCCESS|FAILED)", run_amtool("check-config", *files), re.MULTILINE)
    assert [file for file, _ in verdicts] == files
    return [verdict == "SUCCESS" for _, verdict in verdicts]


def readings(folder: Path, texts: Sequence[str]) -> list[str]:
    """Each text as amtool prints it again, once it has read it."""
    shown = run_amtool("config", "routes", "show", f"--config.file={write_routes(folder / 'show.yml', texts)}")
    found = re.findall(r"── (\{[^\n]*\})?  continue: true  receiver: r(\d+)\n", shown)
    assert [int(number) for _, number in found] == list(range(len(texts)))
    return [text or "{}" for text, _ in found]


def routed(config: Path, labels: dict[str, str]) -> set[int]:
    """The numbers of the routes whose matchers `labels` pass."""
    written = [str(Matcher(name, MatchType.EQUAL, value)) for name, value in labels.items()]
    shown = run_amtool("config", "routes", "test", f"--config.file={config}", *written)
    return {int(name[1:]) for name in shown.strip().split(",") if name != "nobody"}


def ours(text: str) -> tuple[Matcher, ...] | None:
    try:
        return parse_matchers(text)
    except MatcherError:
        return None


def printed(matchers: Sequence[Matcher]) -> str:
    """As amtool prints a route: sorted by name, value and kind."""
    kinds = list(MatchType)
    in_order = sorted(matchers, key=lambda m: (m.name.encode(), m.value.encode(), kinds.index(m.type)))
    return "{" + ",".join(map(str, in_order)) + "}"


NAMES = ["alertname", "job", "instance", "a", "_x", "a1:b"]
VALUES = [
    "",
    "a",
    "web",
    "web1:9100",
    "Web",
    "é",
    "🙂",
    "a b",
    "a,b",
    'a"b',
    "a\\b",
    "a\nb",
    "a\tb",
    "{a}",
    "a=b",
    "'a'",
    "\x1c",
    "\u2028",
    "\x7f",
]
REGEXES = [
    "",
    "a",
    "web|a",
    ".*",
    ".+",
    ".",
    "...",
    "a.b",
    "(?s)a.b",
    "(?i)web",
    "(?m)^a$",
    "[^x]*",
    r"\w+",
    r"\d*",
    r"web\d:9100",
    r"\S+",
    r"a\sb",
    r"a\\b",
    r"\Qa\E.*",
    r"\pL",
    r"\p{Greek}|\x{e9}",
    "a{2,3}|é?",
    "[[:alpha:]]+",
    r"\bweb\b.*",
    "(a|web)(1:9100)?",
    "^web$",
    "a|",
    "(?:)",
    r"\x61\n?b?",
    r"[\d\s]|🙂",
]


def a_matcher(chance: random.Random) -> Matcher:
    kind = chance.choice(list(MatchType))
    regex = kind in (MatchType.REGEX, MatchType.NOT_REGEX)
    value = chance.choice(REGEXES if regex else VALUES)
    if regex and chance.random() < 0.3:
        value = "|".join(chance.sample([r for r in REGEXES if not r.startswith("(?")], 2))
    return Matcher(chance.choice(NAMES), kind, value)


def test_the_same_labels_match(tmp_path: Path) -> None:
    chance = random.Random(1)
    rules = [[a_matcher(chance) for _ in range(chance.choice([1, 1, 1, 2]))] for _ in range(400)]
    config = write_routes(tmp_path / "routes.yml", [",".join(map(str, matchers)) for matchers in rules])
    matched = 0

    for _ in range(100):
        labels = {name: chance.choice(VALUES) for name in chance.sample(NAMES, chance.randint(0, len(NAMES)))}
        expected = {n for n, matchers in enumerate(rules) if all_match(matchers, labels)}
        assert routed(config, labels) == expected, labels
        matched += len(expected)

    assert 5_000 < matched < 35_000, "a comparison of nothing but yes, or nothing but no, says little"


def a_text(chance: random.Random) -> str:
    """One to three matchers in the spellings that both grammars know."""
    parts = []
    for _ in range(chance.randint(1, 3)):
        matcher = a_matcher(chance)
        space, more = chance.choice(["", "", " ", "\t", "\n "]), chance.choice(["", " "])
        bare = re.fullmatch(r"[^\s{}!=~,\\\"'`]+", matcher.value) and matcher.value.isprintable()
        value = matcher.value if bare and chance.random() < 0.5 else str(matcher)[len(matcher.name + matcher.type) :]
        parts.append(f"{space}{matcher.name}{more}{matcher.type}{more}{value}{space}")
    text = ",".join(parts) + chance.choice(["", "", ","])
    return "{" + text + "}" if chance.random() < 0.4 else text


def test_texts_in_the_common_grammar_are_read_alike(tmp_path: Path) -> None:
    chance = random.Random(2)
    texts = [a_text(chance) for _ in range(400)]

    assert accepted(tmp_path, texts) == [True] * len(texts)
    mine = [ours(text) for text in texts]
    assert None not in mine, texts[mine.index(None)]
    assert [printed(matchers or ()) for matchers in mine] == readings(tmp_path, texts)


def a_damaged_text(chance: random.Random) -> str:
    """A good text with one to three characters too many, too few, or of the wrong kind."""
    text = a_text(chance)
    for _ in range(chance.randint(1, 3)):
        at = chance.randint(0, len(text))
        text = text[:at] + chance.choice(["", "", *"{}!=~,\"\\ \n`'()[]*dbnx0éa"]) + text[at + chance.randint(0, 1) :]
    return text


def reads_escapes_of_the_new_grammar(text: str) -> bool:
    r"""In `a="\t"` the new grammar sees a tab, the classic one a backslash and a t."""
    return re.search(r"\\[^n\"\\]", text.replace("\\\\", "")) is not None


def is_known_to_us_only(matchers: Sequence[Matcher], text: str) -> bool:
    r"""Any name, also in quotes; spaces around the braces; a `\Q` without its `\E`."""
    names = all(re.fullmatch("[a-zA-Z_:][a-zA-Z0-9_:]*", matcher.name) for matcher in matchers)
    quoted_name = re.search(r'(?:^|[{,])\s*"', text) is not None
    spaces = re.search(r"^\s+\{|\}\s+$", text) is not None
    return not names or quoted_name or spaces or r"\Q" in text


def test_a_damaged_text_is_read_as_amtool_reads_it_or_refused(tmp_path: Path) -> None:
    chance = random.Random(3)
    texts = [a_damaged_text(chance) for _ in range(4000)]
    theirs = accepted(tmp_path, texts)
    both = []

    for text, taken in zip(texts, theirs, strict=True):
        mine = ours(text)
        if mine is not None and not taken:
            assert is_known_to_us_only(mine, text), text
        elif mine is not None:
            both.append((text, printed(mine)))

    read = readings(tmp_path, [text for text, _ in both])
    for (text, mine_printed), theirs_printed in zip(both, read, strict=True):
        assert mine_printed == theirs_printed or reads_escapes_of_the_new_grammar(text), text
    assert len(both) > 500
    assert theirs.count(False) > 500


#: Text, whether amtool 0.25 takes it, whether we do.
DIFFERENCES = [
    # The grammar of 0.27: any name, quoted or not.
    ('"a b"=c', False, True),
    ("a.b=c", False, True),
    ("é=c", False, True),
    # RE2 compiles what stands between the quotes; Alertmanager puts `^(?:` and `)$` around it first.
    ("a=~b)|(c", True, False),
    (r'a=~"\\Qb"', False, True),
    # Space around the braces, which 0.27 takes too.
    (" {a=b} ", False, True),
    # What the author hardly meant.
    ("a==b", True, False),
    ("a=~~b", True, False),
    ("a=!b", True, False),
    ("a='b'", True, False),
    ("a=b c=d", True, False),
    ("{a=b", True, False),
    ("a=b}", True, False),
    ("a=~x{2}", True, False),
    (r'a=~"\bweb"', True, False),
    # C++'s RE2 gives an expression a fixed room, Go's counts repetitions.
    (r'a=~"(\\pL{100}){10}"', True, False),
]


@pytest.mark.parametrize(("text", "theirs", "mine"), DIFFERENCES)
def test_the_differences_are_these(tmp_path: Path, text: str, theirs: bool, mine: bool) -> None:
    assert (ours(text) is not None) is mine
    if re.search(r"version 0\.2[0-6]\.", run_amtool("--version")):
        assert accepted(tmp_path, [text]) == [theirs]
