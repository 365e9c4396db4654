"""What the console itself says, beside the boards' own texts."""

from __future__ import annotations

from typing import Final

from deploy.boards.language import Language

_ENGLISH: Final = {
    "board": "Board",
    "range": "Time range",
    "language": "Language",
    "connecting": "Connecting",
    "live": "Live",
    "fixed": "Past",
    "lost": "Connection lost: these are the figures of",
    "trouble": "Not refreshed",
    "more": "Only the first rows are shown",
    "from": "From",
    "to": "To",
    "show": "Show",
    "own": "Other range",
    "last": "Last",
    "minutes": "minutes",
    "hours": "hours",
    "days": "days",
    "skip": "To the panels",
    "loading": "Loading",
    "links": "Go to",
    "newest": "newest",
    "empty_choice": "none",
    "zoom_in": "Closer",
    "zoom_out": "Further away",
    "whole": "Everything",
}
_CHINESE: Final = {
    "board": "看板",
    "range": "时间范围",
    "language": "语言",
    "connecting": "正在连接",
    "live": "实时",
    "fixed": "历史",
    "lost": "连接中断，显示的是以下时刻的数据：",
    "trouble": "未能刷新",
    "more": "仅显示前若干行",
    "from": "从",
    "to": "到",
    "show": "显示",
    "own": "自定义范围",
    "last": "最近",
    "minutes": "分钟",
    "hours": "小时",
    "days": "天",
    "skip": "跳到面板",
    "loading": "加载中",
    "links": "前往",
    "newest": "最新",
    "empty_choice": "无",
    "zoom_in": "放大",
    "zoom_out": "缩小",
    "whole": "全部",
}


def words(language: Language) -> dict[str, str]:
    """The console's texts in a language, by name."""
    return dict(_CHINESE if language is Language.CHINESE else _ENGLISH)
