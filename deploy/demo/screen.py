"""What a person sees: headings, steps, and one line of progress that redraws itself on a terminal."""

import os
import shutil
import sys
import time


class Screen:
    """Writes to `out`. Colours and redrawing only on a terminal; in a file, a line of progress every ten seconds."""

    def __init__(self, out=sys.stdout):
        self.out = out
        self.live = out.isatty()
        self.colour = self.live and "NO_COLOR" not in os.environ
        self.began = time.monotonic()
        self._shown = ""
        self._next = self.began + 5

    def seconds(self):
        return time.monotonic() - self.began

    def _painted(self, text, code):
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def write(self, text):
        self.out.write(text)
        self.out.flush()

    def line(self, text=""):
        self.clear()
        self.write(text + "\n")

    def title(self, text):
        self.line("\n" + self._painted(text, "1"))

    def done(self, text):
        self.line(self._painted("✓ ", "32") + text)

    def failed(self, text):
        first, _, rest = text.partition("\n")
        self.line(self._painted("✗ " + first, "31"))
        if rest:
            self.line(rest)

    def note(self, text):
        self.line(self._painted(text, "2"))

    def quote(self, text):
        """A text that goes in or comes out, set apart from what the demonstration says."""
        width = min(shutil.get_terminal_size().columns, 100) - 4
        for paragraph in text.split("\n"):
            row = ""
            for word in paragraph.split():
                if row and len(row) + 1 + len(word) > width:
                    self.line("  " + row)
                    row = ""
                row = f"{row} {word}".strip()
            self.line("  " + row)

    def progress(self, text):
        if text == self._shown:
            return
        if self.live:
            room = shutil.get_terminal_size().columns - 1
            self.write("\r\x1b[K" + self._painted(text[:room], "2"))
            self._shown = text
        elif time.monotonic() >= self._next:
            self.write(text + "\n")
            self._shown, self._next = text, time.monotonic() + 10

    def clear(self):
        """Takes the line of progress away."""
        if self.live and self._shown:
            self.write("\r\x1b[K")
        self._shown = ""


class Flow:
    """A text that appears as it comes, folded to the width of the terminal at word boundaries."""

    def __init__(self, screen):
        self.screen = screen
        self.width = min(shutil.get_terminal_size().columns, 100) - 4
        self.column = 0
        self.gap = False
        self.word = ""
        screen.write("  ")

    def add(self, text):
        for letter in text:
            if letter in " \n":
                self._flush()
                if letter == "\n":
                    self.screen.write("\n  ")
                    self.column = 0
                self.gap = self.column > 0
            else:
                self.word += letter
        self.screen.out.flush()

    def _flush(self):
        if not self.word:
            return
        word = " " + self.word if self.gap else self.word
        if self.column + len(word) > self.width and self.column:
            self.screen.write("\n  ")
            self.column, word = 0, self.word
        self.screen.write(word)
        self.column += len(word)
        self.word, self.gap = "", False

    def end(self):
        self._flush()
        self.screen.write("\n")
