// Large figures: one row, a figure a column.

import { make, match, say, tint } from "./dom.js";
import { cell } from "./format.js";
import { hrefOf, rowOf } from "./links.js";
import { shown } from "./table.js";

export class FiguresPicture {
  constructor(body, panel, context) {
    this._panel = panel;
    this._context = context;
    this._list = make("dl", { class: "keys" });
    body.append(this._list);
  }

  show(answer) {
    const row = answer.rows[0];
    const named = rowOf(answer, row);
    const columns = shown(answer, this._panel);
    this._list.style.setProperty("--count", columns.length);
    match(
      this._list,
      columns,
      () => make("div", {}, make("dt"), make("dd")),
      (box, { column, place }) => {
        const [name, figure] = box.children;
        const { text, colour } = cell(row[place], column);
        const href = column.link ? hrefOf(column.link, named, this._context.values) : null;
        say(name, column.title);
        let holder = figure;
        if (href) {
          holder = figure.querySelector("a") ?? figure.appendChild(make("a"));
          holder.setAttribute("href", href);
        }
        this._figure(holder, text);
        tint(figure, colour);
      },
    );
  }

  /** The unit smaller than the number, so that the number is what is seen from afar. */
  _figure(holder, text) {
    const [, number, unit] = /^([−\d.,]+)(?:\s(.+))?$/.exec(text) ?? [null, text, undefined];
    if (holder.dataset.text === text) return;
    holder.dataset.text = text;
    holder.replaceChildren(number, ...(unit ? [make("small", {}, ` ${unit}`)] : []));
  }
}
