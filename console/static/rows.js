// Horizontal bars in rows: bars beside or on each other, gauges, and the floating bars of a waterfall.

import { make, match, say, tint } from "./dom.js";
import { cell, colourOf, format } from "./format.js";
import { hrefOf, rowOf } from "./links.js";
import { shown } from "./table.js";

const KINDS = { rise: "bad", fall: "good", total: "accent" };

export class RowsPicture {
  constructor(body, panel, context) {
    this._panel = panel;
    this._context = context;
    this._legend = make("ul", { class: "legend" });
    this._list = make("ul", { class: "rows" });
    body.classList.add("scroll");
    body.append(this._legend, this._list);
  }

  show(answer) {
    const { bars, legend, low, high } = this._read(answer);
    const width = high - low || 1;
    match(
      this._legend,
      legend,
      () => make("li", {}, make("i", { "aria-hidden": "true" }), make("span")),
      (item, { title, tone }) => {
        tint(item.firstElementChild, tone);
        say(item.lastElementChild, title);
      },
    );
    match(
      this._list,
      bars,
      () => make("li", {}, make("span", { class: "name" }), make("span", { class: "track" }), make("span")),
      (item, bar) => {
        const [name, track, value] = item.children;
        this._name(name, bar);
        match(
          track,
          bar.pieces,
          () => make("span", { class: "piece" }),
          (piece, { from, to, tone }, place) => {
            piece.style.left = `${(100 * (Math.min(from, to) - low)) / width}%`;
            piece.style.width = `${(100 * Math.abs(to - from)) / width}%`;
            if (!this._panel.stacked && bar.pieces.length > 1) {
              piece.style.top = `${(100 * place) / bar.pieces.length}%`;
              piece.style.height = `${100 / bar.pieces.length}%`;
            }
            tint(piece, tone);
          },
        );
        value.className = "value";
        say(value, bar.text);
        tint(value, bar.colour);
      },
    );
  }

  _name(holder, { title, href }) {
    if (href) {
      const link = holder.querySelector("a") ?? holder.appendChild(make("a"));
      link.setAttribute("href", href);
      say(link, title);
    } else {
      say(holder, title);
    }
    holder.title = title;
  }

  _read(answer) {
    if (this._panel.picture === "waterfall") return this._waterfall(answer);
    const [first, ...others] = shown(answer, this._panel);
    const columns = others.filter(({ place }) => answer.rows.some((row) => typeof row[place] === "number"));
    const isGauge = this._panel.picture === "gauges";
    const measured = isGauge ? columns.slice(0, 1) : columns;
    const bars = answer.rows.map((row) => {
      let end = 0;
      const pieces = measured.map(({ column, place }, number) => {
        const value = typeof row[place] === "number" ? row[place] : 0;
        const from = this._panel.stacked ? end : 0;
        end = from + value;
        const tone = column.steps?.length ? colourOf(row[place], column) : `series-${number}`;
        return { from, to: from + value, tone };
      });
      const texts = measured.map(({ column, place }) => cell(row[place], column));
      return {
        title: cell(row[first.place], first.column).text,
        href: first.column.link ? hrefOf(first.column.link, rowOf(answer, row), this._context.values) : null,
        pieces,
        text: texts.map((each) => each.text).join(" · "),
        colour: texts.length === 1 ? texts[0].colour : "plain",
      };
    });
    const ends = bars.flatMap((bar) => bar.pieces.flatMap((piece) => [piece.from, piece.to]));
    const most = isGauge ? measured[0]?.column.most : null;
    if (most) for (const piece of bars.flatMap((bar) => bar.pieces)) piece.to = Math.min(Math.max(piece.to, 0), most);
    return {
      bars,
      legend:
        measured.length > 1
          ? measured.map(({ column }, number) => ({ title: column.title, tone: `series-${number}` }))
          : [],
      low: most ? 0 : Math.min(0, ...ends),
      high: most ?? Math.max(0, ...ends),
    };
  }

  _waterfall(answer) {
    const part = this._panel.columns.find((each) => each.name === "part");
    const unit = this._panel.columns.find((each) => each.name === "to_wh")?.unit ?? "energy_wh";
    const bars = answer.rows.map((row) => {
      const { part: name, from_wh: from, to_wh: to, kind } = rowOf(answer, row);
      const by = to - from;
      const sign = kind !== "total" && by > 0 ? "+" : "";
      return {
        title: part ? cell(name, part).text : String(name),
        href: null,
        pieces: [{ from, to, tone: KINDS[kind] ?? "muted" }],
        text: sign + format(by, unit, 1),
        colour: kind === "total" ? "plain" : (KINDS[kind] ?? "plain"),
      };
    });
    const ends = bars.flatMap((bar) => bar.pieces.flatMap((piece) => [piece.from, piece.to]));
    return { bars, legend: [], low: Math.min(0, ...ends), high: Math.max(0, ...ends) };
  }
}
