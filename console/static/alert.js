// The page of one alert: what it is, what was done, and what can be done now; without a number, those of a group. Whoever
// looks shows a token of the API; it is kept for as long as this tab is open.

import { make, say } from "./dom.js";
import { Clock, format } from "./format.js";

const find = (id) => document.getElementById(id);
const number = location.pathname.match(/\/alerts\/(\d+)$/)?.[1];
const asked = new URLSearchParams(location.search);
const isChinese = (asked.get("lang") ?? navigator.language).startsWith("zh");
/** What keeps the language on the way to another page. */
const spoken = asked.has("lang") ? `?lang=${encodeURIComponent(asked.get("lang"))}` : "";
asked.delete("lang");
const WORDS = isChinese
  ? {
      title: "告警", sign: "请出示令牌", token: "令牌", enter: "继续", act: "处理", action: "操作", reason: "原因",
      assignee: "负责人", go: "提交", history: "处理记录", acknowledge: "确认", assign: "指派", close: "关闭",
      reopen: "重新打开", changed: "他人已更改，请查看后重试", figures: "数据", alerts: "告警列表", none: "没有告警",
      more: "还有更早的告警",
    }
  : {
      title: "Alert", sign: "A token is needed", token: "Token", enter: "Go on", act: "Act", action: "Action",
      reason: "Reason", assignee: "Assignee", go: "Submit", history: "History", acknowledge: "Acknowledge",
      assign: "Assign", close: "Close", reopen: "Reopen", changed: "Somebody else has changed it: look, and try again",
      figures: "Figures", alerts: "Alerts", none: "No such alert", more: "There are older ones",
    };
const KEY = "meterline-token";
const clock = new Clock(document.querySelector("meta[name=time-zone]").content, isChinese ? "zh" : "en");
/** Units as the ends of figures' names tell them. */
const UNITS = [["_rate", "fraction"], ["_wh", "energy_wh"], ["_w", "power_w"], ["_v", "volts"], ["_a", "amperes"]];
let version = null;

async function ask(path, options = {}) {
  const headers = { accept: "application/json", authorization: `Bearer ${sessionStorage.getItem(KEY)}`, ...options.headers };
  const answer = await fetch(`/api/v1/alerts${path}`, { ...options, headers });
  const content = await answer.json();
  if (answer.status === 401) {
    sessionStorage.removeItem(KEY);
    sign();
  }
  if (answer.status === 412) throw new Error(WORDS.changed);
  if (!answer.ok) throw new Error(content.detail ?? content.title ?? String(answer.status));
  version = answer.headers.get("etag");
  return content;
}

function sign() {
  for (const id of ["alert", "act", "past", "list"]) find(id).hidden = true;
  find("sign").hidden = false;
  find("token").focus();
}

/** The alerts that the address asks for, such as those of a group. */
async function list() {
  const { items, next } = await ask(`?${asked}`);
  tell(null);
  find("sign").hidden = true;
  find("list").hidden = false;
  say(find("title"), asked.get("group") ?? WORDS.alerts);
  document.title = `Meterline: ${find("title").textContent}`;
  const place = (alert) => (alert.meter === null ? alert.unit : `${alert.unit} / ${alert.meter}`);
  find("alerts").replaceChildren(
    ...items.map((alert) =>
      make(
        "tr", {},
        make("td", {}, make("a", { href: `/alerts/${alert.alert_id}${spoken}` }, `${alert.alert_id}`)),
        ...[alert.severity, alert.kind, place(alert), alert.state, alert.opened_at].map((v) => make("td", {}, text(v))),
      ),
    ),
  );
  say(find("more"), items.length === 0 ? WORDS.none : next === null ? "" : WORDS.more);
}

async function show() {
  if (number === undefined) return list();
  const { alert, history } = await ask(`/${number}`);
  tell(null);
  find("sign").hidden = true;
  for (const id of ["alert", "act", "past"]) find(id).hidden = false;
  say(find("title"), `${WORDS.title} ${alert.alert_id}: ${alert.kind}`);
  document.title = `Meterline: ${find("title").textContent}`;
  find("fields").replaceChildren(...rows(alert));
  find("figures").replaceChildren(...rows(alert.figures));
  find("figures-of").hidden = find("figures").childElementCount === 0;
  find("history").replaceChildren(
    ...history.map((step) => make("tr", {}, ...Object.values(step).map((value) => make("td", {}, text(value))))),
  );
  choices(alert.state);
}

/** Names and values, but for what is empty and what holds values of its own. */
function rows(values) {
  return Object.entries(values)
    .filter(([, value]) => value !== null && typeof value !== "object")
    .map(([name, value]) => {
      const unit = UNITS.find(([end]) => name.endsWith(end))?.[1];
      return make("div", {}, make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, text(value, unit)));
    });
}

/** What a person can do in a state; the server has the last word. */
function choices(state) {
  const actions = ["closed", "resolved"].includes(state)
    ? ["reopen", ...(state === "resolved" ? ["close"] : [])]
    : [...(state === "open" ? ["acknowledge"] : []), "assign", "close"];
  find("action").replaceChildren(...actions.map((action) => make("option", { value: action }, WORDS[action])));
  find("assignee-row").hidden = !["assign", "acknowledge"].includes(find("action").value);
}

function text(value, unit) {
  if (value === null || typeof value === "object") return value === null ? "–" : JSON.stringify(value);
  const isTime = typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value);
  return isTime ? clock.exact(Date.parse(value) / 1000) : format(value, unit);
}

function tell(message) {
  find("lost").hidden = message === null;
  say(find("lost"), message ?? "");
}

function attempt(work) {
  work().catch((error) => tell(error.message));
}

function start() {
  find("home").href = `/${spoken}`;
  document.documentElement.lang = isChinese ? "zh-Hans" : "en";
  const texts = {
    title: "title", "sign-title": "sign", "token-name": "token", "sign-in": "enter", "act-title": "act",
    "action-name": "action", "reason-name": "reason", "assignee-name": "assignee", do: "go", "history-title": "history",
    "figures-title": "figures", "list-title": "alerts",
  };
  for (const [id, word] of Object.entries(texts)) say(find(id), WORDS[word]);
  find("sign").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, find("token").value);
    find("token").value = "";
    attempt(show);
  });
  find("action").addEventListener("change", () => {
    find("assignee-row").hidden = !["assign", "acknowledge"].includes(find("action").value);
  });
  find("act").addEventListener("submit", (event) => {
    event.preventDefault();
    const step = { action: find("action").value, reason: find("reason").value };
    if (find("assignee").value && !find("assignee-row").hidden) step.assignee = find("assignee").value;
    const headers = { "content-type": "application/json", "if-match": version };
    attempt(async () => {
      await ask(`/${number}/steps`, { method: "POST", headers, body: JSON.stringify(step) });
      find("act").reset();
      await show();
    });
  });
  if (sessionStorage.getItem(KEY)) attempt(show);
  else sign();
}

start();
