"""Writes docs/bad-input.md: `python tests/support/bad_input_page.py docs`."""

import sys
from pathlib import Path

import bad_files
import bad_folders
import bad_options
import bad_plugins
import bad_suites
from bad_input import page

BAD = [*bad_suites.BAD, *bad_options.BAD, *bad_plugins.BAD, *bad_files.BAD, *bad_folders.BAD]

if __name__ == "__main__":
    (Path(sys.argv[1]) / "bad-input.md").write_text(page(BAD), encoding="utf-8")
