#!/usr/bin/env python3
"""Draws what `char_lm segment RUN --json` found as an SVG: for each layer, the segments that it made of the text.

    char_lm segment RUN --json < TEXT | boundaries_svg.py [--caption TEXT] > PICTURE.svg

A block is a segment: it ends with the character at which the layer's boundary fired (z = 1; for soft boundaries, z > 0.5),
and there the layer above is updated. The last block of a line, open to the right, has not ended.
Exit code 2 and one line for input that is none of segment's.
"""
import argparse
import json
import sys
from xml.sax.saxutils import escape

CELL, ROW, TEXT_ROW, MARGIN, LABEL = 13, 14, 26, 14, 74  # pixels
COLOURS = [("#7fb3e6", "#a9cdf0"), ("#e8a25c", "#f2c496"), ("#77c08b", "#a5d6b3"), ("#b79ad9", "#d0bfe6")]


def fail(message):
    print("boundaries_svg: " + message, file=sys.stderr)
    sys.exit(2)


def read(stream):
    """The objects of segment, checked: a list of (text, z), z a list of flags for each layer."""
    lines = []
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
            text, layers = found["text"], found["z"]
            z = [[float(value) > 0.5 for value in layer] for layer in layers]
        except (ValueError, KeyError, TypeError):
            fail("line %d of the input is not what `char_lm segment --json` writes" % number)
        size = len(text.encode())
        if any(len(layer) != size for layer in z):
            fail("line %d of the input: z is not as long as the text" % number)
        if size != len(text):
            fail("line %d of the input: only ASCII text can be drawn, z belongs to bytes" % number)
        lines.append((text, z))
    if not lines:
        fail("no input")
    return lines


def segments(z):
    """(first, end, closed) for each segment of one layer."""
    first, out = 0, []
    for t, fired in enumerate(z):
        if fired:
            out.append((first, t + 1, True))
            first = t + 1
    if first < len(z):
        out.append((first, len(z), False))
    return out


def block(x, y, width, colour, closed):
    """A bar with round ends; an open one has a straight end."""
    r, h = 4, ROW - 4
    x, width = x + 1, width - 2 if closed else width
    right = "a{r},{r} 0 0 1 0,{d} h".format(r=r, d=h) if closed else "v%d h" % h
    left = width - (2 * r if closed else r)
    path = "M%d,%d h%d %s-%d a%d,%d 0 0 1 0,-%d z" % (x + r, y, left, right, left, r, r, h)
    return '<path d="%s" fill="%s"/>' % (path, colour)


def draw(lines, caption):
    layers = max(len(z) for _, z in lines)
    width = 2 * MARGIN + LABEL + CELL * max(len(text) for text, _ in lines)
    height, body = MARGIN, []
    for text, z in lines:
        baseline = height + 18
        for t, character in enumerate(text):
            if character != " ":
                body.append('<text x="%.1f" y="%d" class="c">%s</text>' %
                            (MARGIN + LABEL + (t + 0.5) * CELL, baseline, escape(character)))
        height += TEXT_ROW
        for layer, flags in enumerate(z):
            body.append('<text x="%d" y="%d" class="l">layer %d</text>' % (MARGIN, height + 9, layer + 1))
            for i, (first, end, closed) in enumerate(segments(flags)):
                body.append(block(MARGIN + LABEL + first * CELL, height, (end - first) * CELL,
                                  COLOURS[layer % len(COLOURS)][i % 2], closed))
            height += ROW
        height += 10
    if caption:
        height += 8
        body.append('<text x="%d" y="%d" class="l">%s</text>' % (MARGIN, height, escape(caption)))
        height += 6
    height += MARGIN - 6
    return """<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img">
<title>Boundaries that each of {n} layers found in a text</title>
<style>
.c {{ font: 17px monospace; text-anchor: middle; fill: #1c2733; }}
.l {{ font: 12px sans-serif; fill: #55616d; }}
</style>
<rect width="{w}" height="{h}" rx="8" fill="#fbfcfd"/>
{body}
</svg>
""".format(w=width, h=height, n=layers, body="\n".join(body))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--caption", default="", help="a line below the picture")
    arguments = parser.parse_args()
    sys.stdout.write(draw(read(sys.stdin), arguments.caption))


if __name__ == "__main__":
    main()
