// The page of a board: what can be chosen, the panels, and the stream that fills them.

import { make, say } from "./dom.js";
import { Clock } from "./format.js";
import { hrefOf, keepRange } from "./links.js";
import { PanelView } from "./panel.js";

const RANGES = [
  ["now-15m", 15, "minutes"],
  ["now-1h", 1, "hours"],
  ["now-6h", 6, "hours"],
  ["now-24h", 24, "hours"],
  ["now-2d", 2, "days"],
  ["now-7d", 7, "days"],
  ["now-30d", 30, "days"],
  ["now-365d", 365, "days"],
];
const LANGUAGES = { en: "English", zh: "简体中文" };
const PREFIX = "var-";
const RANGE = ["from", "to"];
const find = (id) => document.getElementById(id);

const here = new URLSearchParams(location.search);
const uid = decodeURIComponent(location.pathname.split("/").pop());

async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  const content = await answer.json();
  if (!answer.ok) throw new Error(typeof content.detail === "string" ? content.detail : `${answer.status}`);
  return content;
}

function languageOf() {
  const wanted = here.get("lang") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
  return wanted in LANGUAGES ? wanted : "en";
}

async function start() {
  const language = languageOf();
  document.documentElement.lang = language === "zh" ? "zh-Hans" : language;
  const query = new URLSearchParams([...here].filter(([name]) => name.startsWith(PREFIX) || RANGE.includes(name)));
  query.set("lang", language);
  try {
    const [boards, board] = await Promise.all([
      ask(`/api/boards?lang=${language}`),
      ask(`/api/boards/${encodeURIComponent(uid)}?${query}`),
    ]);
    show(boards, board);
  } catch (error) {
    find("lost").hidden = false;
    say(find("lost"), error.message);
    setTimeout(() => location.reload(), 15_000);
  }
}

function show(boards, board) {
  document.title = board.title;
  say(find("title"), plain(board.title));
  find("title").title = board.description;
  say(document.querySelector(".skip"), board.words.skip);
  menu(boards, board);
  const marks = new Map();
  const context = {
    words: board.words,
    values: board.values,
    clock: new Clock(board.time_zone, board.language),
    marks: () => [...marks.values()].flat(),
  };
  find("up").setAttribute("aria-label", board.words.links);
  find("up").replaceChildren(
    ...board.links.map((link) => make("a", { href: hrefOf(link, {}, board.values) }, link.title)),
  );
  controls(board, context.clock);
  const views = new Map(board.places.map((place) => [place.panel.key, new PanelView(place, context)]));
  const order = [...board.places].sort((a, b) => a.y - b.y || a.x - b.x);
  fit();
  addEventListener("resize", fit);
  find("panels").style.setProperty("--rows", Math.max(...board.places.map((place) => place.y + place.height)));
  find("panels").replaceChildren(...order.map((place) => views.get(place.panel.key).element));
  follow(board, context, views, marks);
}

/** How much of the window the head takes. */
function fit() {
  find("panels").style.setProperty("--head", `${document.querySelector("header").offsetHeight + 22}px`);
}

/** Board titles begin with the product's name, which stands in the corner already. */
function plain(title) {
  return title.replace(/^Meterline\s*[:：]\s*/, "");
}

function menu(boards, board) {
  find("boards").setAttribute("aria-label", board.words.board);
  find("boards").replaceChildren(
    ...boards.map((each) => {
      const query = keepRange(placeOf(board.values)).toString();
      const href = `/boards/${each.uid}${query ? `?${query}` : ""}`;
      const text = plain(each.title);
      const label = text.charAt(0).toUpperCase() + text.slice(1);
      return make("a", { href, title: each.description, "aria-current": each.uid === board.uid && "page" }, label);
    }),
  );
}

/** What is chosen here, and what was on boards before that choose more: a board takes of it what it knows. */
function placeOf(values) {
  const query = new URLSearchParams([...here].filter(([name]) => name.startsWith(PREFIX)));
  for (const [name, value] of Object.entries(values)) if (value !== "") query.set(PREFIX + name, value);
  return query;
}

function controls(board, clock) {
  const { words } = board;
  const since = here.get("from") ?? board.since;
  const until = here.get("to") ?? "now";
  const variables = board.variables.map((variable) =>
    choice(
      variable.title,
      board.choices[variable.name].map(({ value, text }) => [value, text]),
      board.values[variable.name],
      (value) => go({ [PREFIX + variable.name]: value }),
      words.empty_choice,
    ),
  );
  const ranges = RANGES.map(([value, count, unit]) => [value, `${words.last} ${count} ${words[unit]}`]);
  const isKnown = until === "now" && ranges.some(([value]) => value === since);
  if (!isKnown) ranges.unshift([since, until === "now" ? since : `${since} – ${until}`]);
  const languages = Object.entries(LANGUAGES);
  find("choices").replaceChildren(
    ...variables,
    choice(words.range, ranges, since, (value) => go({ from: value, to: null })),
    own(board, clock, since, until),
    choice(words.language, languages, board.language, (value) => go({ lang: value })),
  );
  find("choices").addEventListener("submit", (event) => event.preventDefault());
}

function choice(name, options, chosen, change, empty) {
  const select = make(
    "select",
    { "aria-label": name },
    ...(options.length ? options : [["", empty]]).map(([value, text]) =>
      make("option", { value, selected: value === chosen }, text),
    ),
  );
  select.addEventListener("change", () => change(select.value));
  return make("label", {}, make("span", {}, name), select);
}

/** Two instants as the utility's clocks show them, sent in UTC. */
function own(board, clock, since, until) {
  const { words } = board;
  const field = (name, value) => {
    const at = new Date(value);
    const shown = Number.isNaN(at.getTime()) ? "" : clock.wall(at);
    const input = make("input", { type: "datetime-local", value: shown, "aria-label": name });
    return [input, make("label", {}, make("span", {}, name), input)];
  };
  const [from, fromLabel] = field(words.from, since);
  const [to, toLabel] = field(words.to, until);
  const button = make("button", { type: "button" }, words.show);
  button.addEventListener("click", () => {
    if (from.value) {
      go({ from: clock.instant(from.value).toISOString(), to: to.value ? clock.instant(to.value).toISOString() : null });
    }
  });
  return make("details", { class: "own" }, make("summary", {}, words.own), make("div", {}, fromLabel, toLabel, button));
}

function go(changes) {
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) here.delete(name);
    else here.set(name, value);
  }
  location.search = here.toString();
}

/** Listen to the board's stream; the browser connects anew by itself when it breaks. */
function follow(board, context, views, marks) {
  const { words, refresh_s: refresh } = board;
  const query = new URLSearchParams(Object.entries(board.values).map(([name, value]) => [PREFIX + name, value]));
  for (const name of RANGE) if (here.has(name)) query.set(name, here.get(name));
  const isPast = here.has("to") && !here.get("to").startsWith("now");
  const colours = Object.fromEntries(board.annotations.map((each) => [each.key, each.colour]));
  const state = find("state");
  let asked = null;
  let heard = performance.now();
  const source = new EventSource(`/api/boards/${encodeURIComponent(board.uid)}/live?${query}`);
  const on = (kind, act) =>
    source.addEventListener(kind, (event) => {
      heard = performance.now();
      act(JSON.parse(event.data));
    });
  on("panel", (answer) => views.get(answer.panel)?.show(answer));
  on("trouble", ({ panel, message }) => views.get(panel)?.fail(message));
  on("marks", ({ key, marks: found }) => {
    marks.set(key, found.map((mark) => ({ ...mark, colour: colours[key] })));
    for (const view of views.values()) view.mark();
  });
  on("round", ({ at_s: at }) => {
    asked = at;
    tell(true);
  });
  const tell = (isLive) => {
    const time = asked === null ? "" : context.clock.withSeconds(asked);
    state.className = asked === null ? "" : isLive ? (isPast ? "past" : "live") : "lost";
    say(state, asked === null ? words.connecting : `${isPast ? words.fixed : words.live} · ${time}`);
    find("lost").hidden = asked === null || isLive;
    if (!isLive) say(find("lost"), `${words.lost} ${time}`);
  };
  tell(true);
  setInterval(() => {
    if (asked !== null && performance.now() - heard > 1000 * (3 * (isPast ? 60 : refresh) + 10)) tell(false);
  }, 1000);
  source.addEventListener("error", () => {
    tell(false);
    // A connection that was refused for good isn't tried again by the browser.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 10_000);
  });
  addEventListener("pagehide", () => source.close());
}

start();
