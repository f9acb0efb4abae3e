"""All tools of the views, in the order of their buttons. A new tool is a file of its own and a name in this tuple."""

from __future__ import annotations

from contourdesk.widgets.tool import Tool
from contourdesk.widgets.tools_basic import Fill, Navigate
from contourdesk.widgets.tools_brush import Erase, Paint, SmartPaint
from contourdesk.widgets.tools_livewire import Livewire
from contourdesk.widgets.tools_nudge import Nudge
from contourdesk.widgets.tools_points import Points
from contourdesk.widgets.tools_polygon import Polygon
from contourdesk.widgets.tools_prompt import PromptTool
from contourdesk.widgets.tools_region import FloodTool, RangeTool

TOOLS: tuple[type[Tool], ...] = (
    Navigate,
    Paint,
    Erase,
    SmartPaint,
    Nudge,
    Polygon,
    Points,
    Livewire,
    Fill,
    PromptTool,
    FloodTool,
    RangeTool,
)
