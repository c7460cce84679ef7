"""ICDAR 2017 MLT (multi-lingual scene text): lines of ``x1,y1,x2,y2,x3,y3,x4,y4,script,text``.

The ground truth of https://rrc.cvc.uab.es/?ch=8&com=downloads: ``gt_img_<number>.txt`` in UTF-8.
"""

from __future__ import annotations

from fuxian.datasets.scene_text import Word, quadrilaterals


def read(content: bytes, place: str) -> list[Word]:
    """The words of one picture's file; ``place`` is how errors name it. The script's name is left out.

    Raises InputError for lines of another form.
    """
    return quadrilaterals(content, place, before_text=9)
