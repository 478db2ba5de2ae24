#!/usr/bin/env python3
"""Makes fiches.jsonl from the package that README.md names: `npm pack` it, unpack it, and give its `data` file.

  make.py package/data/fiches-travail.json > fiches.jsonl
"""

import html
import json
import re
import sys

# Short enough that a few hundred are embedded in half a minute, long enough to answer something.
SHORTEST, LONGEST, MOST = 250, 900, 300


def text_of(markup):
    """HTML of a section as plain paragraphs and lists."""
    markup = re.sub(r"(?is)<(script|style|table|figure|iframe)\b.*?</\1>", " ", markup)
    markup = re.sub(r"(?i)<li[^>]*>", "\n- ", markup)
    markup = re.sub(r"(?i)</?(p|div|ul|ol|h\d|blockquote)\b[^>]*>|<br[^>]*>", "\n", markup)
    lines = html.unescape(re.sub(r"<[^>]+>", "", markup)).replace("\xa0", " ").splitlines()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(re.sub(r"\s+", " ", line).strip() for line in lines)).strip()


def sections(fiches):
    for fiche in fiches:
        for section in fiche["sections"]:
            text = text_of(section["html"])
            # Measures of spring 2020 are no examples of a lasting rule.
            if SHORTEST <= len(text) <= LONGEST and not re.search(r"covid|urgence sanitaire", text, re.I):
                title = f"{fiche['title']} : {section['title']}" if section["title"] else fiche["title"]
                yield {"title": title, "url": fiche["url"], "date": fiche["date"], "text": text}


def main():
    with open(sys.argv[1], encoding="utf-8") as source:
        fiches = sorted(json.load(source), key=lambda fiche: fiche["title"])
    for record in list(sections(fiches))[:MOST]:
        print(json.dumps(record, ensure_ascii=False))


if __name__ == "__main__":
    main()
