// A table whose cells are changed in place.

import { make, match, say, tint } from "./dom.js";
import { cell } from "./format.js";
import { hrefOf, rowOf } from "./links.js";

export class TablePicture {
  constructor(body, panel, context) {
    this._panel = panel;
    this._context = context;
    this._head = make("tr");
    this._rows = make("tbody");
    const table = make("table", { "aria-label": panel.title }, make("thead", {}, this._head), this._rows);
    body.classList.add("scroll");
    body.append(table);
  }

  show(answer) {
    const columns = shown(answer, this._panel);
    const isNumber = columns.map(
      ({ column, place }) => column.unit !== "none" || answer.rows.some((row) => typeof row[place] === "number"),
    );
    match(
      this._head,
      columns,
      () => make("th", { scope: "col" }),
      (head, { column }, place) => {
        say(head, column.title);
        head.classList.toggle("number", isNumber[place]);
      },
    );
    match(
      this._rows,
      answer.rows,
      () => make("tr"),
      (line, row) => {
        const named = rowOf(answer, row);
        match(
          line,
          columns,
          () => make("td"),
          (box, { column, place }, number) => {
            box.classList.toggle("number", isNumber[number]);
            this._fill(box, row[place], column, answer.times.includes(column.name), named);
          },
        );
      },
    );
  }

  _fill(box, value, column, isTime, named) {
    const clock = this._context.clock;
    const { text, colour } = isTime && value !== null ? { text: clock.full(value) } : cell(value, column);
    const href = column.link && value !== null ? hrefOf(column.link, named, this._context.values) : null;
    let holder = box;
    if (href) {
      holder = box.querySelector("a") ?? box.appendChild(emptied(box, make("a")));
      if (holder.getAttribute("href") !== href) holder.setAttribute("href", href);
      holder.title = column.link.title;
    } else if (box.firstElementChild) {
      box.replaceChildren();
    }
    say(holder, text);
    tint(holder, colour);
  }
}

function emptied(box, child) {
  box.replaceChildren();
  return child;
}

/** Columns that are shown, with their place in a row: described ones as described, others as they come. */
export function shown(answer, panel) {
  return answer.columns
    .map((name, place) => ({
      place,
      column: panel.columns.find((each) => each.name === name) ?? { name, title: name, unit: "none", below: "plain" },
    }))
    .filter(({ column }) => !column.hidden);
}
