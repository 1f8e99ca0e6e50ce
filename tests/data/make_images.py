#!/usr/bin/env python3
"""Makes the tiny pictures of this folder with Pillow (python3-pil); run it here.

They are kept beside this script, since another version of Pillow or libjpeg may write other bytes.
"""
import struct
import zlib

from PIL import Image


def scene(w=24, h=16):
    """Smooth colours, one dark corner (top left): no two orientations look alike."""
    im = Image.new("RGB", (w, h))
    for y in range(h):
        for x in range(w):
            im.putpixel((x, y), (255 * x // (w - 1), 255 * y // (h - 1), 160 - 5 * x))
    for y in range(4):
        for x in range(6):
            im.putpixel((x, y), (10, 10, 10))
    return im


def exif(orientation, order):
    """The smallest EXIF: one entry in one directory."""
    big = order == ">"
    tiff = (b"MM\0*" if big else b"II*\0") + struct.pack(order + "I", 8)
    tiff += struct.pack(order + "HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    return b"Exif\0\0" + tiff


def png(name, w, h, depth, kind, rows, interlaced=0, extra=b""):
    """A PNG of a kind that Pillow does not write: rows are bytes behind their filter byte 0."""
    def chunk(tag, body):
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))
    head = struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, interlaced)
    with open(name, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra +
                chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows))) + chunk(b"IEND", b""))


def cut(name, source, n):
    """The first n bytes (or all but the last -n) of a file."""
    with open(source, "rb") as f, open(name, "wb") as g:
        g.write(f.read()[:n])


def main():
    im = scene()
    high = {"quality": 92, "subsampling": 0}
    im.save("rgb.jpg", **high)
    im.save("progressive.jpg", progressive=True, **high)
    im.save("subsampled.jpg", quality=85, subsampling=2)
    im.convert("L").save("grey.jpg", quality=92)
    im.convert("CMYK").save("cmyk.jpg", quality=92)
    im.save("turned6.jpg", exif=exif(6, "<"), **high)
    im.save("turned3.jpg", exif=exif(3, ">"), **high)
    scene(40, 60).save("tall.jpg", **high)
    cut("truncated.jpg", "rgb.jpg", -60)
    cut("noend.jpg", "rgb.jpg", -2)
    with open("rgb.jpg", "rb") as f, open("junk.jpg", "wb") as g:  # between two segments
        b = f.read()
        g.write(b[:20] + b"\1\2\3\4\5" + b[20:])
    im.convert("P", palette=Image.ADAPTIVE, colors=16).save("palette.png")
    im.save("rgb.png")
    cut("truncated.png", "rgb.png", -40)
    # 16 bits: 0x01ff is 1.99 levels and 0x00ff 0.99, which cutting off the low byte makes 1 and 0
    png("rgb16.png", 2, 1, 16, 2, [struct.pack(">6H", 0, 0x8080, 0xffff, 0x01ff, 0x00ff, 0x0180)])
    # grey and alpha: opaque black, clear black, half black, clear white
    png("alpha.png", 4, 1, 8, 4, [bytes((0, 255, 0, 0, 0, 128, 255, 0))])
    # 1-bit grey, Adam7, 3 x 3: 101 010 101. Passes with pixels: 1, 5 (row 2), 6 (column 1), 7 (row 1)
    png("interlaced.png", 3, 3, 1, 0, [b"\x80", b"\x80", b"\xc0", b"\x00", b"\x00", b"\x40"], interlaced=1)


main()
