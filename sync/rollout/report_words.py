"""What reports say, in English and Simplified Chinese; pure."""

from __future__ import annotations

from typing import Final, Literal

Language = Literal["en", "zh"]

_WORDS: Final[dict[str, tuple[str, str]]] = {
    "daily": ("Daily report", "日报"),
    "weekly": ("Weekly report", "周报"),
    "monthly": ("Monthly report", "月报"),
    "level_unit": ("Unit", "单位"),
    "level_working": ("Working group", "工作组"),
    "level_leading": ("Leading group", "领导小组"),
    "period": ("Period", "统计期间"),
    "as_of": ("As known at", "数据截至"),
    "figures": ("Figures", "指标"),
    "by_unit": ("Units", "各单位"),
    "unit": ("Unit", "单位"),
    "unknown": ("unknown", "无数据"),
    "hours": ("h", "小时"),
    "none": ("Nothing", "无"),
    "note": (
        "Each figure links to the query that gave it, with its parameters: asked again it gives the same.",
        "每个指标均链接到其查询及参数, 可按当时数据重新计算。",
    ),
    "progress": ("Milestones passed, share", "里程碑完成率"),
    "on_time": ("Milestones passed on time", "里程碑按期率"),
    "milestones_passed": ("Milestones passed in the period", "本期完成里程碑"),
    "milestones_slipped": ("Milestones slipped", "逾期里程碑"),
    "tickets_opened": ("Tickets opened in the period", "本期新增工单"),
    "tickets_open": ("Tickets open", "未结工单"),
    "tickets_broken": ("Tickets with a broken promise", "超时工单"),
    "resolve_hours": ("Working hours to resolve", "平均处理时长"),
    "sla_kept": ("Promises kept", "工单按时率"),
    "matters_open": ("Matters open", "未决事项"),
    "decisions_overdue": ("Decisions overdue", "逾期决议"),
    "channels_slow": ("Channels that fall short", "不合格通道"),
    "channels_good": ("Channels that do what is needed", "通道合格率"),
    "consistency": ("Consistency station–line–transformer–customer", "站-线-变-户一致率"),
    "open_conflicts": ("Conflicts between systems", "未处理数据冲突"),
    "collection": ("Collection success", "采集成功率"),
    "estimated_share": ("Estimated share", "估算电量占比"),
    "qualified_rate": ("Qualified rate of lines and areas", "线路台区合格率"),
    "area_loss_rate": ("Loss rate of areas", "台区线损率"),
    "line_loss_rate": ("Loss rate of lines", "线路线损率"),
    "benefit_wh": ("Energy recovered or no longer lost", "追补和降损电量"),
    "benefit_cents": ("Money of benefits, estimates too", "效益金额（含估算）"),
    "milestones": ("Slipped milestones", "逾期里程碑"),
    "tickets": ("Tickets with a broken promise", "超时工单"),
    "channels": ("Channels that fall short", "不合格通道"),
    "gateway": ("Gateway", "采集终端"),
    "shortfalls": ("Falls short in", "不合格项"),
    "delay_high_s": ("Round trip, 95 % (s)", "往返时延 95% (秒)"),
    "jitter_s": ("Jitter (s)", "抖动 (秒)"),
    "bytes_per_s": ("Throughput (bytes/s)", "吞吐量 (字节/秒)"),
    "clock_offset_s": ("Clock off by (s)", "时钟偏差 (秒)"),
    "matters": ("Open matters", "未决事项"),
    "decisions": ("Open decisions", "未完成决议"),
    "code": ("Code", "编号"),
    "programme": ("Programme", "项目"),
    "name": ("Name", "名称"),
    "due_on": ("Due", "期限"),
    "owner": ("Owner", "责任人"),
    "result": ("Review", "评审"),
    "ticket_id": ("Ticket", "工单"),
    "priority": ("Priority", "优先级"),
    "state": ("State", "状态"),
    "title": ("Title", "标题"),
    "matter_id": ("Matter", "事项"),
    "department": ("Department", "部门"),
    "decision_id": ("Decision", "决议"),
    "decision": ("What was decided", "决议内容"),
    "last_note": ("Last follow-up", "最近跟进"),
}


def say(word: str, language: Language) -> str:
    """A word of a report."""
    return _WORDS[word][0 if language == "en" else 1]
