"""What a playbook printed, bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from webhook.edge.playbook.text import printable

#: Of the output this much is kept, half of it from the beginning and half from the end.
OUTPUT_LIMIT_BYTES: Final = 256 * 1024


@dataclass(slots=True)
class Output:
    """Head and tail of what was printed."""

    head: str = ""
    tail: str = ""
    left_out: int = 0

    def add(self, text: str) -> None:
        """Take what was printed next."""
        if not text:
            return
        half = OUTPUT_LIMIT_BYTES // 2
        # Long texts are cut before they are cleaned, or a task that prints a gigabyte would cost a second one.
        if len(text) > OUTPUT_LIMIT_BYTES:
            self.left_out += len(text) - OUTPUT_LIMIT_BYTES
            text = f"{text[:half]}\n… [cut] …\n{text[-half:]}"
        text = printable(text) + "\n"
        room = half - len(self.head)
        if room > 0:
            self.head += text[:room]
            text = text[room:]
        self.tail += text
        if len(self.tail) > half:
            self.left_out += len(self.tail) - half
            self.tail = self.tail[-half:]

    @property
    def text(self) -> str:
        """All that was kept."""
        if not self.left_out:
            return self.head + self.tail
        return f"{self.head}\n… [{self.left_out} characters left out by alertmend] …\n{self.tail}"
