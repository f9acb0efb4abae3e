"""The self-test's part that needs Qt: the screen and OpenGL. It runs in a process of its own, see `app.doctor`."""

from __future__ import annotations

from collections.abc import Iterator

import qtpy
from qtpy.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext
from vispy.gloo import gl

from contourdesk.app.doctor import Line
from contourdesk.widgets.application import make_application

_SOFTWARE = ("llvmpipe", "softpipe", "swrast", "gdi generic", "microsoft basic render", "swiftshader")
_SLICE, _VOLUME = 2048, 512  # voxels along an axis that a texture must hold: images in 2D, surfaces' background in 3D


def screen_lines() -> Iterator[Line]:
    """Qt's way to the screen, the screens, and what OpenGL says of itself."""
    app = make_application(["contourdesk"])
    yield Line("Screen", "Qt", "ok", f"{qtpy.QT_VERSION}, {app.platformName()}")
    for screen in QGuiApplication.screens():
        size, scale = screen.size(), screen.devicePixelRatio()
        state, advice = "ok", ""
        if size.width() < 1280 or size.height() < 720:
            state, advice = "warn", "Panels are cramped below 1280 × 720."
        yield Line("Screen", "Screen", state, f"{size.width()} × {size.height()}, scaled by {scale:g}", advice)
    surface = QOffscreenSurface()
    surface.create()
    context = QOpenGLContext()
    if not context.create() or not context.makeCurrent(surface):
        yield Line("Screen", "OpenGL", "fail", "it can't be started", "Renew the graphics driver.")
        return
    yield from _opengl_lines()
    context.doneCurrent()


def _opengl_lines() -> Iterator[Line]:
    renderer, version = str(gl.glGetParameter(gl.GL_RENDERER)), str(gl.glGetParameter(gl.GL_VERSION))
    text = f"{version}, {renderer}"
    if int(version.split(".")[0].split()[-1]) < 2:
        yield Line("Screen", "OpenGL", "fail", text, "It must be 2.1 or later: renew the graphics driver.")
    elif any(word in renderer.lower() for word in _SOFTWARE):
        yield Line("Screen", "OpenGL", "warn", text, "Drawn by the processor: it works, but slowly. Renew the driver.")
    else:
        yield Line("Screen", "OpenGL", "ok", text)
    most = int(gl.glGetParameter(gl.GL_MAX_TEXTURE_SIZE))
    if most < _SLICE:
        yield Line("Screen", "Textures", "fail", f"up to {most} pixels", "Large images can't be shown on this card.")
    else:
        yield Line("Screen", "Textures", "ok", f"up to {most} pixels")
