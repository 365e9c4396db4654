// A map without tiles, and a network: both stand at places that the server worked out.

import { draw, make, match, say, tint } from "./dom.js";
import { format } from "./format.js";
import { hrefOf, rowOf } from "./links.js";

const NODE = { width: 150, height: 34, gap: 10, column: 210 };
const ZOOM = 1.3;
/** Smallest scale at which a node's text is read without zooming. */
const READABLE = 0.75;

/** Pan with the pointer, zoom with the wheel or the buttons, and back. */
class View {
  constructor(body, context) {
    this.svg = draw("svg", { class: "plan", role: "group" });
    const button = (sign, name, act) => {
      const made = make("button", { type: "button", "aria-label": name, title: name }, sign);
      made.addEventListener("click", act);
      return made;
    };
    const words = context.words;
    body.classList.add("planned");
    body.append(
      this.svg,
      make(
        "div",
        { class: "zoom" },
        button("+", words.zoom_in, () => this._zoom(1 / ZOOM)),
        button("−", words.zoom_out, () => this._zoom(ZOOM)),
        button("⤢", words.whole, () => this._set(this._whole)),
      ),
    );
    this.svg.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !this._isZoomed()) return;
      event.preventDefault();
      this._zoom(event.deltaY > 0 ? ZOOM : 1 / ZOOM);
    }, { passive: false });
    this.svg.addEventListener("focusin", (event) => this._reveal(event.target));
    this.svg.addEventListener("pointerdown", (event) => this._grab(event));
  }

  /** Everything there is; shown whole, or from the top left where it would be too small to read, until the reader moves. */
  whole(x, y, width, height, least = 0) {
    const isNew = !this._whole || this._whole.some((each, place) => each !== [x, y, width, height][place]);
    this._whole = [x, y, width, height];
    if (!isNew) return;
    const { clientWidth, clientHeight } = this.svg;
    const scale = Math.min(clientWidth / width, clientHeight / height);
    if (!least || scale >= least) {
      this._set(this._whole);
      return;
    }
    const seen = [Math.min(width, clientWidth / least), Math.min(height, clientHeight / least)];
    this._set([x, y, ...seen]);
  }

  /** What has the focus comes into sight. */
  _reveal(element) {
    const { x, y, width, height } = element.getBBox();
    const [left, top, across, down] = this._box;
    const isSeen = x >= left && y >= top && x + width <= left + across && y + height <= top + down;
    if (!isSeen) this._set([x + width / 2 - across / 2, y + height / 2 - down / 2, across, down]);
  }

  _isZoomed() {
    return this._box[2] < this._whole[2] * 0.99;
  }

  _set(box) {
    this._box = box;
    this.svg.setAttribute("viewBox", box.join(" "));
  }

  _zoom(by) {
    const [x, y, width, height] = this._box;
    this._set([x + (width * (1 - by)) / 2, y + (height * (1 - by)) / 2, width * by, height * by]);
  }

  _grab(event) {
    if (event.target.closest("a")) return;
    const from = [event.clientX, event.clientY];
    const [x, y, width, height] = this._box;
    const scale = Math.max(width / this.svg.clientWidth, height / this.svg.clientHeight);
    const move = (now) =>
      this._set([x - (now.clientX - from[0]) * scale, y - (now.clientY - from[1]) * scale, width, height]);
    const end = () => window.removeEventListener("pointermove", move);
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end, { once: true });
  }
}

/** What colours a row: the first described column with words, else with steps. */
function toneOf(panel, named) {
  for (const column of panel.columns) {
    const word = column.words.find((each) => each.value === String(named[column.name]));
    if (word) return { text: word.text, colour: word.colour };
  }
  return { text: "", colour: "plain" };
}

function linkOf(panel, named, context) {
  const link = panel.columns.find((each) => each.link)?.link;
  return link ? hrefOf(link, named, context.values) : null;
}

function target(element, href) {
  if (href) element.setAttribute("href", href);
  else element.removeAttribute("href");
}

export class MapPicture {
  constructor(body, panel, context) {
    this._panel = panel;
    this._context = context;
    this._legend = make("ul", { class: "legend over" });
    this._view = new View(body, context);
    body.append(this._legend);
    this._dots = draw("g");
    this._view.svg.append(this._dots);
    this._view.svg.setAttribute("aria-label", panel.title);
  }

  show(answer) {
    const { x, y, width, height } = answer.plan;
    const size = 1000 / Math.max(width, height, 1e-9);
    const across = Math.max(width * size, 60);
    const down = Math.max(height * size, 60);
    this._view.whole(-40, -40, across + 80, down + 80);
    const tones = new Map();
    const radius = Math.max(3.5, Math.min(11, 130 / Math.sqrt(answer.rows.length || 1)));
    match(
      this._dots,
      answer.rows,
      () => draw("a", {}, draw("title"), draw("circle")),
      (dot, row, place) => {
        const named = rowOf(answer, row);
        const tone = toneOf(this._panel, named);
        if (tone.text) tones.set(tone.text, { ...tone, count: (tones.get(tone.text)?.count ?? 0) + 1 });
        const [title, circle] = dot.children;
        const words = this._words(answer, row, named, tone);
        say(title, words);
        dot.setAttribute("aria-label", words);
        target(dot, linkOf(this._panel, named, this._context));
        circle.setAttribute("cx", x[place] * across);
        circle.setAttribute("cy", y[place] * down);
        circle.setAttribute("r", tone.colour === "bad" ? radius * 1.35 : radius);
        tint(circle, tone.colour);
      },
    );
    match(
      this._legend,
      [...tones.values()],
      () => make("li", {}, make("i", { "aria-hidden": "true" }), make("span"), make("b")),
      (item, { text, colour, count }) => {
        const [swatch, name, number] = item.children;
        tint(swatch, colour);
        say(name, text);
        say(number, format(count));
      },
    );
  }

  _words(answer, row, named, tone) {
    const told = this._panel.columns
      .filter((each) => !each.hidden && !["name", "longitude_deg", "latitude_deg"].includes(each.name))
      .filter((each) => !each.words.length && answer.columns.includes(each.name))
      .map((each) => `${each.title} ${format(named[each.name], each.unit, each.decimals)}`);
    return [named.name, tone.text, ...told].filter(Boolean).join(", ");
  }
}

export class NetworkPicture {
  constructor(body, panel, context) {
    this._panel = panel;
    this._context = context;
    this._view = new View(body, context);
    this._lines = draw("g", { class: "edges", "aria-hidden": "true" });
    this._nodes = draw("g");
    this._view.svg.append(this._lines, this._nodes);
    this._view.svg.setAttribute("aria-label", panel.title);
  }

  show(answer) {
    const { x, y, width, height } = answer.plan;
    const across = (width - 1) * NODE.column;
    const down = height * (NODE.height + NODE.gap);
    const at = (place) => [x[place] * across, y[place] * down];
    this._view.whole(-12, -12, across + NODE.width + 24, down + 24, READABLE);
    const places = new Map(answer.rows.map((row, place) => [String(rowOf(answer, row).id), place]));
    const edges = answer.edges.rows
      .map((row) => rowOf(answer.edges, row))
      .filter((edge) => places.has(String(edge.source)) && places.has(String(edge.target)));
    match(
      this._lines,
      edges,
      () => draw("path"),
      (path, edge) => {
        const [fromX, fromY] = at(places.get(String(edge.source)));
        const [toX, toY] = at(places.get(String(edge.target)));
        path.setAttribute("d", curve(fromX, fromY, toX, toY));
      },
    );
    match(
      this._nodes,
      answer.rows,
      () => draw("a", {}, draw("title"), draw("rect", { rx: 5 }), draw("text"), draw("text", { class: "sub" })),
      (node, row, place) => {
        const named = rowOf(answer, row);
        const tone = toneOf(this._panel, named);
        const [title, box, name, sub] = node.children;
        const [left, middle] = at(place);
        const words = [named.title, named.subtitle, tone.text].filter(Boolean).join(", ");
        say(title, words);
        node.setAttribute("aria-label", words);
        target(node, linkOf(this._panel, named, this._context));
        assign(box, { x: left, y: middle - NODE.height / 2, width: NODE.width, height: NODE.height });
        assign(name, { x: left + 9, y: middle + (named.subtitle ? -3 : 4) });
        assign(sub, { x: left + 9, y: middle + 12 });
        say(name, cut(named.title, 20));
        say(sub, cut(named.subtitle, 24));
        tint(box, tone.colour);
      },
    );
  }
}

function assign(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
}

function cut(text, length) {
  const whole = text === null || text === undefined ? "" : String(text);
  return whole.length > length ? `${whole.slice(0, length - 1)}…` : whole;
}

/** From the right of one node to the left of the next; a loop's edge, within a column, bows out. */
function curve(fromX, fromY, toX, toY) {
  const [startX, startY, endX, endY] = fromX <= toX ? [fromX, fromY, toX, toY] : [toX, toY, fromX, fromY];
  const from = startX + NODE.width;
  if (startX === endX) return `M${from},${startY} C${from + 40},${startY} ${from + 40},${endY} ${from},${endY}`;
  const half = (from + endX) / 2;
  return `M${from},${startY} C${half},${startY} ${half},${endY} ${endX},${endY}`;
}
