"""Every board there is."""

from __future__ import annotations

from deploy.boards.area import AREA
from deploy.boards.benefit import BENEFIT
from deploy.boards.control_room import CONTROL_ROOM
from deploy.boards.feeder import FEEDER
from deploy.boards.map import MAP
from deploy.boards.pipeline import PIPELINE
from deploy.boards.quality import QUALITY
from deploy.boards.scada import SCADA
from deploy.boards.switching import SWITCHING
from deploy.boards.usage import USAGE

#: In the order of the menu; the first is the one to begin with.
BOARDS = (CONTROL_ROOM, FEEDER, AREA, MAP, USAGE, QUALITY, PIPELINE, SCADA, SWITCHING, BENEFIT)
