"""The QR picture of a wallet's link (contract section 4, `image`). Made once a wallet: it takes milliseconds."""

from __future__ import annotations

import base64
import io

import segno


def png_base64(link: str) -> str:
    """A PNG of the link's QR code, in base64. Raises ValueError where the link is too long for one."""
    picture = io.BytesIO()
    segno.make_qr(link, error="m").save(picture, kind="png", scale=8, border=4)
    return base64.b64encode(picture.getvalue()).decode()
