"""Pictures of several drawn faces, which the detector finds at a least score of 0.5."""

from PIL import Image

from demo.drawn_faces import draw_face


def scene(*places: tuple[int, int, int, int]) -> Image.Image:
    """A picture with drawn faces: index, left, top and side of each."""
    picture = Image.new("RGB", (640, 420), (150, 170, 160))
    for index, left, top, side in places:
        face = draw_face(11, index)[1].resize((side, side), Image.Resampling.LANCZOS)
        picture.paste(face, (left, top))
    return picture
