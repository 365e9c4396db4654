"""What the boards say, in Simplified Chinese, in the terms of the utilities' own documents.

Titles, columns, words and links: `English|中文` a line. Descriptions stand in `deploy.boards.chinese_descriptions`.
"""

from __future__ import annotations

_LINES = """\
Meterline: control room|Meterline：调度控制室
Region|区域
Substation|变电站
Switching|开关操作
Alerts|告警
Map|地图
Data quality|数据质量
Pipeline|数据管道
SCADA points|SCADA 测点
Supply and loss now|当前供电与线损
no live value|无实时值
Supply|供电量
Loss of lines|线路线损率
Loss with areas|含台区线损率
Live feeders|在线线路数
No data|无数据
Open|未关闭
Not acknowledged|未确认
Outages and switching|停电与开关
Areas without supply|失电台区
Switches off normal|异常位置开关
Units by freshness|考核单元数据新鲜度
Live|实时
Stale|过期
Loss now by feeder|当前分线线损
No feeder is known|无线路档案
Feeder|线路
Open the feeder|打开线路
Code|编码
Status|状态
live|实时
stale|过期
no data|无数据
Age|距今
Interval|间隔
Loss|损失
Loss rate|线损率
± 95 %|± 95 %
Technical|技术线损
With areas|含台区
Class|分类
normal|正常
high|高损
negative|负损
not computable|不可算
Coverage|覆盖率
Loss now by region, voltage level and busbar|当前分区、分压、分元件线损
No region, voltage level or busbar is known|无区域、电压等级或母线档案
Part|组成部分
Only this part|只看该部分
Kind|类型
region|区域
voltage level|电压等级
element|元件
Loss over time|线损率曲线
Loss, low|线损下限
Loss, high|线损上限
Worst areas, today|今日线损率最高台区
No area has been settled yet|尚无台区结算
Area|台区
Open the area|打开台区
Feeder code|线路编码
Hours|小时
Open alerts|未关闭告警
No open alert|无未关闭告警
Alert|告警
Open and acknowledge|打开并确认
Severity|等级
critical|紧急
warning|警告
info|提示
Unit|考核单元
State|状态
open|未处理
acknowledged|已确认
in progress|处理中
suppressed|已抑制
resolved|已恢复
closed|已关闭
Open for|持续时间
Changed|最近变化
Supply by busbar|分母线供电
Feeder load against rating|线路负载率
No feeder with a rating|无额定容量的线路档案
Load|负载率
Areas, last full day|台区，最近完整日
No area is known|无台区档案
Qualified|合格率
High|高损
Negative|负损
Not computable|不可算
Freshness|数据新鲜度
No unit is known|无考核单元档案
Written|写入距今
Gateway|采集终端
Meterline: feeder|Meterline：线路
Restatements|重算发布
Control room|调度控制室
Areas|台区
Now|当前
No such unit|无此考核单元
Supply and sold|供电与售电
Sold|售电
Estimated|估算
Loss with band, and technical loss|线损率（含误差带）与技术线损率
Upper limit|上限
Lower limit|下限
Areas, ranked by loss of the last full day|台区按最近完整日损失电量排序
No area hangs on this feeder|该线路无台区
Transformer loading|配变负载率
No transformer with a rating|无额定容量的配变
Why the loss changed, last full day against the day before|线损变化原因：最近完整日与前一日
Not explained yet, or no two days to compare|尚未分解，或无可比的两日
day before|前一日
length of the day|当日时长
topology|拓扑变化
data quality|数据质量
meters and CT|电能表与互感器更换
generation|分布式发电
technical|技术线损
unexplained|不明原因
last full day|最近完整日
From|起
To|止
more|增加
less|减少
total|合计
Switching and cut-overs|开关操作与割接
Nothing was switched|无开关操作
Event|事件
came|割入
left|割出
opened|分闸
Area or switch|台区或开关
Since|距今
Last 30 days|最近 30 日
No day has been summed up yet|尚无日统计
Day|日期
Publication|发布状态
Revision|版本
Meterline: transformer area|Meterline：台区
Transformer area|台区
Meters (revenue protection)|电能表（反窃电）
Coverage and estimated share|覆盖率与估算占比
Voltage by phase|分相电压
Meters by voltage, newest interval|电能表按电压分布（最新间隔）
Too few meters|电能表数量过少
Band|区间
Meters|电能表数
Meters by use, newest interval|电能表按用电功率分布（最新间隔）
Phase balance, newest interval|三相平衡（最新间隔）
Too few meters with a known phase|已知相别的电能表过少
Phase|相别
Power|功率
Suspected: alerts and reasons|疑似异常：告警与原因
No alert|无告警
Why, in the range that is shown|所示时段内的原因
No reason to doubt|无可疑原因
Reason|原因
Intervals|间隔数
Last|最近一次
Meterline: map|Meterline：地图
Areas by class of the last full day|台区分类（最近完整日）
No area has a position|无台区坐标
Longitude|经度
Latitude|纬度
Feeders by class now|线路当前分类
No feeder has a position|无线路坐标
Network of the feeder as it is switched now|线路当前拓扑
The network of this feeder isn't known|该线路拓扑未知
Node|节点
Hangs on it|所接设备
head of the feeder|线路首端
area|台区
high loss|高损
negative loss|负损
node|节点
Meterline: usage and revenue protection|Meterline：用电与反窃电
Unexplained energy, last full day|最近完整日不明电量
Unexplained in high areas|高损台区不明电量
High areas|高损台区数
Without a contract|无档案用电
Areas by unexplained energy, last full day|台区按不明电量排序（最近完整日）
Unexplained|不明电量
Reasons|原因
Suspected list: findings of usage by what a visit is expected to recover|疑似清单：用电异常发现（按预期追回电量排序）
Nobody is suspected|无疑似用户
Worth a visit|检查价值
Expected in 28 days|28天预期追回
Money|金额
Confidence|置信度
Chance|查实概率
Evidence|证据
Alerts, newest first|告警（最新在前）
Meters of the area, newest interval|台区电能表（最新间隔）
Nothing was read within two days|两日内无采集数据
Meter|电能表
Voltage|电压
Quality|数据质量
Evidence: unexplained energy of the area by day|证据：台区逐日不明电量
Unexplained, low|不明电量下限
Unexplained, high|不明电量上限
Alerts opened, by kind|新增告警（按类型）
Meterline: sync and data quality|Meterline：同步与数据质量
Last full day|最近完整日
Collection success|采集成功率
Computable|可算率
Restated|重算数
Consistency of the records|档案一致率
What|项目
Share|占比
Coverage by busbar|分母线覆盖率
Why areas are not computable or doubtful, last full day|台区不可算或存疑的原因（最近完整日）
Least complete areas, last full day|数据最不完整的台区（最近完整日）
Covered|覆盖时长占比
Gaps in what gateways send|采集终端报文缺口
No gap is open|无缺口
Open gaps|未补缺口
Messages missing|缺失报文
Asked in vain|补采未果
Out of reach|无法补采
Oldest|最早
Changes of the grid model|电网模型变更
Changes|变更数
Deliveries to other systems|对外系统推送
Nothing is owed|无待推送
Target|目标系统
Owed|待推送
Tried|已尝试
Meterline: pipeline|Meterline：数据管道
Commits and deliveries|提交与推送
Last commit|距上次提交
Change not sent for|模型变更滞留
Delivery owed for|推送滞留
Refused, last hour|近一小时拒收
Dropped, last day|近一日丢失
Areas settled, last 15 minutes|近 15 分钟已结算台区
Settled|已结算
Known|档案数
Readings settled per minute|每分钟结算读数
Readings a minute|每分钟读数
Delay from receipt to result|接收到结果的延迟
Half of them|中位数
99 %|99 %
Rejected, by reason|拒收（按原因）
Nothing was rejected|无拒收
Inputs|报文数
Times seen|出现次数
In quarantine|隔离中
Size|大小
Newest|最新
Disk by table|各表占用磁盘
Table|表
Rows, about|行数（约）
Statistics|统计信息距今
Meterline: SCADA points|Meterline：SCADA 测点
SCADA points by state|SCADA 测点状态
Good|良好
Substituted|替代值
Bad|无效
SCADA points, last known values|SCADA 测点最近值
No point is known|无测点档案
Point|测点
good|良好
substituted|替代值
invalid|无效
old|非当前值
blocked|闭锁
overflow|溢出
Value|数值
Stands in for|替代的电能表
Meterline: switching|Meterline：开关操作
Switches off their normal position|处于非正常位置的开关
Normal state|正常运行方式
Switch|开关
Position|位置
Areas that no feeder supplies|无线路供电的台区
Every area has a feeder|所有台区均有线路供电
Last feeder|原供电线路
My finding|我的线索
Findings, ranked|异常线索（按优先级）
Finding|线索
Assigned to|负责人
Field check|现场核查
Held back by|暂缓原因
Last seen|最近出现
No finding|无线索
confirmed|属实
refuted|不属实
not found|未查实
Evidence: the meter of my finding|证据：我的线索所涉电能表
Import|正向
Export|反向
No finding of mine is chosen|未选择线索
Work orders and field results|工单与现场核查结果
Work order|工单
issued|已派发
late|超期
done|已完成
cancelled|已取消
Expected|预计电量
Found|查实电量
Issued|派发距今
No work order|无工单
Precision over time|查实率变化
Confirmed|查实率
Nothing was checked in the field|尚无现场核查
Open the meter|打开电能表
Meters of the area|台区全部电能表
Kafka lag by part of the workers|各处理环节的 Kafka 积压
No worker has told of itself|无处理进程上报
Slowest flush by part of the workers|各处理环节最长写入时间
No batch was written|无批次写入
Workers|处理进程
Worker|处理进程
Lag|积压
Records a second|每秒记录数
Readings a second|每秒读数
Flush|写入时间
Slowest flush|最长写入时间
Open conflicts by kind, department and system|未解决差异（按类型、部门、系统）
No conflict is open|无未解决差异
missing|缺失
orphan|孤立
duplicate|重复
field differs|字段不一致
relation differs|关系不一致
outdated|过时
impossible|不合理
Department|部门
System|系统
Open|未解决
Since a day|近一日新增
Open conflicts by age|未解决差异（按持续天数）
Time to resolve conflicts|差异处理时长
In a day|近一日
In 7 days|近 7 日
In 30 days|近 30 日
Open on average|平均持续
Half of them within|半数不超过
Last|最近一次
No conflict was closed in 30 days|近 30 日没有差异关闭
Completeness of the records|档案完整率
Complete|完整率
Lacking|缺失
Nothing was compared yet: meterline sync match|尚未比对：meterline sync match
Days|天数
Accounts|用户
Others|其他
Consistency station-line-transformer-customer (站-线-变-户)|站-线-变-户一致率
Consistency was not found yet: meterline sync rate|尚未统计一致率：meterline sync rate
Relation|关系
How alerts flow: stages by department|告警流转（按环节、部门）
There now|当前滞留
Left it|已办结
Half within|中位时长
Nine of ten within|九成时长
No alert in 30 days|近30日无告警
Copies in other systems (drift clock)|其他系统中的副本（漂移时钟）
No target holds a copy|没有系统保存副本
Target|目标系统
Entities|对象数
Drifted|不一致
In the last day|近一日
Read|回读
Doubtful readings by rule and day|可疑读数（按规则和日期）
No reading is doubtful|没有可疑读数
Rule|规则
Doubts|可疑数
station-line|站-线
line-transformer|线-变
transformer-customer|变-户
Consistent|一致率
A week before|一周前
A month before|一月前
Contradicted|有矛盾
Meterline: benefit|Meterline：效益
What it brought|取得的效益
Money, measured|实测金额
Money, estimated|估算金额
Customer-hours|少停电户时
CO₂, kg|二氧化碳（kg）
No effect shown|未显示效果
By organisation and item|按单位和项目
Organisation|单位
Item|项目
loss avoided|降损电量
recovered|追补电量
visits|少跑现场
outage|停电
Basis|依据
measured|实测
estimate|估算
Entries|条目
Money|金额
Newest entries|最新条目
Source|来源
Before and after|前后对比
Low|下限
Nothing is entered|无条目
All|全部
None|无
Energy|电量
"""
CHINESE = dict(line.split("|") for line in _LINES.splitlines())
