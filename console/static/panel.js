// A panel: its frame, its picture, and what is wrong with it.

import { make, say } from "./dom.js";
import { FiguresPicture } from "./figures.js";
import { LinesPicture } from "./lines.js";
import { hrefOf } from "./links.js";
import { MapPicture, NetworkPicture } from "./plan.js";
import { RowsPicture } from "./rows.js";
import { TablePicture } from "./table.js";

const PICTURES = {
  table: TablePicture,
  lines: LinesPicture,
  figures: FiguresPicture,
  bars: RowsPicture,
  gauges: RowsPicture,
  waterfall: RowsPicture,
  map: MapPicture,
  network: NetworkPicture,
};

export class PanelView {
  constructor(place, context) {
    const { panel } = place;
    this._panel = panel;
    this._context = context;
    this._picture = null;
    this._trouble = make("span", { class: "trouble", hidden: true });
    this._note = make("p", { class: "note" }, context.words.loading);
    this._body = make("div", { class: "body" });
    const id = `panel-${panel.key}`;
    const heading = make("h2", { id, title: panel.description }, panel.title);
    const links = panel.links.map((link) =>
      make("a", { class: "onward", href: hrefOf(link, {}, context.values) }, link.title),
    );
    this.element = make(
      "section",
      { class: `panel ${panel.picture}`, "aria-labelledby": id, "data-panel": panel.key },
      make("div", { class: "head" }, heading, this._trouble, ...links),
      this._body,
    );
    this._body.append(this._note);
    Object.assign(this.element.style, {
      gridColumn: `${place.x + 1} / span ${place.width}`,
      gridRow: `${place.y + 1} / span ${place.height}`,
    });
  }

  show(answer) {
    this._trouble.hidden = true;
    const isEmpty = (answer.rows ?? answer.times_s).length === 0;
    if (isEmpty) {
      this._clear(this._panel.nothing);
      return;
    }
    if (!this._picture) {
      this._body.className = "body";
      this._body.replaceChildren();
      this._picture = new PICTURES[this._panel.picture](this._body, this._panel, this._context);
      // A region that scrolls must be reached by the keyboard.
      if (this._body.classList.contains("scroll")) {
        const attributes = { tabindex: 0, role: "group", "aria-label": this._panel.title };
        for (const [name, value] of Object.entries(attributes)) this._body.setAttribute(name, value);
      }
    }
    this._picture.show(answer);
    this.element.classList.toggle("cut", answer.more);
    if (answer.more) this._warn(this._context.words.more);
  }

  /** What is shown stays, with a mark that it wasn't refreshed. */
  fail(message) {
    if (!this._picture) this._clear(message);
    this._warn(`${this._context.words.trouble}: ${message}`);
  }

  mark() {
    this._picture?.mark?.();
  }

  _warn(message) {
    this._trouble.hidden = false;
    this._trouble.title = message;
    say(this._trouble, message);
  }

  _clear(message) {
    this._picture = null;
    this._body.className = "body";
    for (const name of ["tabindex", "role", "aria-label"]) this._body.removeAttribute(name);
    this._body.replaceChildren(this._note);
    say(this._note, message);
  }
}
