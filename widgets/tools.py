"""All tools of the views, in the order of their buttons. A new tool is a file of its own and a name in this tuple."""

from __future__ import annotations

from contourdesk.widgets.tool import Tool
from contourdesk.widgets.tools_basic import Fill, Navigate
from contourdesk.widgets.tools_brush import Erase, Paint
from contourdesk.widgets.tools_polygon import Polygon

TOOLS: tuple[type[Tool], ...] = (Navigate, Paint, Erase, Polygon, Fill)
