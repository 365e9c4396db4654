// Lines over time, drawn by uPlot: stacked or not, with a band, limits, thresholds and marks of events.

import { make, match, say, tint } from "./dom.js";
import { format, ticks } from "./format.js";
import { COLOURS, TONES, alpha } from "./colours.js";

const AXIS = { stroke: TONES.muted, grid: { stroke: "#232c36", width: 1 }, ticks: { stroke: "#232c36", size: 4 } };
const FONT = '12px system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif';
const HEIGHT_PX = 40;

export class LinesPicture {
  constructor(body, panel, context) {
    this._panel = panel;
    this._context = context;
    this._box = make("div", { class: "plot", role: "img" });
    this._legend = make("ul", { class: "legend" });
    this._tip = make("div", { class: "tip", hidden: true });
    body.classList.add("chart");
    body.append(this._box, this._legend);
    this._box.append(this._tip);
    this._shape = null;
    this._plot = null;
    new ResizeObserver(() => this._resize()).observe(this._box);
  }

  show(answer) {
    this._answer = answer;
    this._lines = this._read(answer);
    const shape = JSON.stringify(this._lines.map((line) => line.title));
    const data = this._data(answer.times_s);
    if (shape !== this._shape) {
      this._plot?.destroy();
      this._plot = new uPlot(this._options(), data, this._box);
      this._shape = shape;
    } else {
      this._plot.setData(data);
    }
    this._say();
  }

  mark() {
    this._plot?.redraw(false);
  }

  _read(answer) {
    const [low, high] = this._panel.band ?? [];
    const described = (name) => this._panel.columns.find((each) => each.name === name);
    const lines = answer.series
      .filter(({ name }) => !described(name)?.hidden)
      .map(({ name, values }) => ({
        name,
        values,
        title: described(name)?.title ?? name,
        isLimit: described(name)?.limit ?? false,
        isEdge: name === low || name === high,
      }));
    let next = 0;
    for (const line of lines) line.colour = line.isLimit ? TONES.bad : line.isEdge ? COLOURS[0] : pick(next++);
    return lines;
  }

  /** uPlot's arrays; where lines are stacked each stands on those before it. */
  _data(times) {
    if (!this._panel.stacked) return [times, ...this._lines.map((line) => line.values)];
    const sums = new Array(times.length).fill(0);
    return [
      times,
      ...this._lines.map((line) =>
        line.isLimit
          ? line.values
          : line.values.map((value, place) => {
              if (value === null) return sums[place] || null;
              sums[place] += value;
              return sums[place];
            }),
      ),
    ];
  }

  _options() {
    const clock = this._context.clock;
    const { width, height } = this._size();
    return {
      width,
      height,
      padding: [8, 22, 0, 0],
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), clock.timeZone),
      legend: { show: false },
      cursor: { y: false, points: { size: 6 }, drag: { setScale: false, x: false, y: false } },
      scales: {
        x: { time: true, range: () => [this._answer.since_s, this._answer.until_s] },
        y: { range: (_, least, most) => this._range(least, most) },
      },
      axes: [
        { ...AXIS, font: FONT, size: 30, space: 70, values: (_, splits, __, ___, step) => splits.map((at) => tick(clock, at, step)) },
        { ...AXIS, font: FONT, size: 74, values: (_, splits) => ticks(splits, this._panel.unit) },
      ],
      series: [{}, ...this._lines.map((line) => this._series(line))],
      bands: this._bands(),
      hooks: { draw: [(plot) => this._steps(plot), (plot) => this._marks(plot)], setCursor: [(plot) => this._hover(plot)] },
    };
  }

  _series(line) {
    const isFirstOfStack = this._panel.stacked && line === this._lines[0];
    return {
      label: line.title,
      stroke: line.colour,
      width: line.isEdge ? 0 : line.isLimit ? 1.5 : 1.75,
      dash: line.isLimit ? [6, 5] : undefined,
      fill: isFirstOfStack ? alpha(line.colour, 0.35) : undefined,
      points: { show: (plot) => !line.isEdge && plot.data[0].length < 2 },
      spanGaps: false,
    };
  }

  _bands() {
    if (this._panel.stacked) {
      const stacked = this._lines.map((line, place) => ({ line, place })).filter(({ line }) => !line.isLimit);
      return stacked
        .slice(1)
        .map(({ line, place }, number) => ({
          series: [place + 1, stacked[number].place + 1],
          fill: alpha(line.colour, 0.35),
        }));
    }
    if (!this._panel.band) return [];
    const place = (name) => this._lines.findIndex((line) => line.name === name) + 1;
    const [low, high] = this._panel.band.map(place);
    return low && high ? [{ series: [high, low], fill: alpha(COLOURS[0], 0.22) }] : [];
  }

  /** From zero where that is near; a flat line gets room above and below. */
  _range(least, most) {
    if (least === null || most === null || !Number.isFinite(least)) return [0, 1];
    const isFlat = least === most;
    const low = least > 0 && (this._panel.stacked || isFlat || least < 0.6 * most) ? 0 : least;
    const room = (most - low || Math.abs(most) || 1) * 0.08;
    return [low === 0 ? 0 : low - room, most + room];
  }

  _steps(plot) {
    const context = plot.ctx;
    for (const step of this._panel.steps) {
      const y = plot.valToPos(step.start, "y", true);
      if (y < plot.bbox.top || y > plot.bbox.top + plot.bbox.height) continue;
      context.save();
      context.strokeStyle = TONES[step.colour];
      context.setLineDash([6, 6]);
      line(context, plot.bbox.left, y, plot.bbox.left + plot.bbox.width, y);
      context.restore();
    }
  }

  _marks(plot) {
    const context = plot.ctx;
    const { left, top, width, height } = plot.bbox;
    for (const { time_s: at, end_s: end, colour } of this._context.marks()) {
      const x = plot.valToPos(at, "x", true);
      const last = end === null ? x : plot.valToPos(end, "x", true);
      if (last < left || x > left + width) continue;
      context.save();
      context.strokeStyle = context.fillStyle = TONES[colour];
      if (last > x) {
        context.globalAlpha = 0.12;
        context.fillRect(Math.max(x, left), top, Math.min(last, left + width) - Math.max(x, left), height);
        context.globalAlpha = 1;
      }
      if (x >= left) {
        context.setLineDash([3, 4]);
        line(context, x, top, x, top + height);
        context.setLineDash([]);
        context.beginPath();
        context.moveTo(x - 5, top);
        context.lineTo(x + 5, top);
        context.lineTo(x, top + 8);
        context.fill();
      }
      context.restore();
    }
  }

  _hover(plot) {
    const place = plot.cursor.idx;
    const isOver = plot.cursor.left >= 0 && place !== null && place !== undefined;
    this._tip.hidden = !isOver;
    if (!isOver) return;
    const at = plot.data[0][place];
    const near = this._context.marks().filter((mark) => {
      const x = plot.valToPos(mark.time_s, "x");
      return Math.abs(x - plot.cursor.left) < 6 || (mark.end_s !== null && mark.time_s <= at && at <= mark.end_s);
    });
    const rows = [
      { text: this._context.clock.full(at), kind: "when" },
      ...this._lines
        .filter((each) => each.values[place] !== null)
        .map((each) => ({ text: `${each.title}: ${format(each.values[place], this._panel.unit)}`, colour: each.colour })),
      ...near.slice(0, 5).map((mark) => ({ text: mark.text, kind: "mark" })),
    ];
    match(
      this._tip,
      rows,
      () => make("p", {}, make("i", { "aria-hidden": "true" }), make("span")),
      (row, { text, kind, colour }) => {
        row.className = kind ?? "";
        row.firstElementChild.style.backgroundColor = colour ?? "transparent";
        say(row.lastElementChild, text);
      },
    );
    const isRight = plot.cursor.left > plot.over.clientWidth / 2;
    const x = plot.over.offsetLeft + plot.cursor.left;
    this._tip.style.left = isRight ? "auto" : `${x + 12}px`;
    this._tip.style.right = isRight ? `${this._box.clientWidth - x + 12}px` : "auto";
    this._tip.style.top = `${plot.over.offsetTop + 4}px`;
  }

  /** The legend with the newest values, and the same in words for those who don't see the picture. */
  _say() {
    const named = this._lines
      .filter((each) => !each.isEdge)
      .map((each) => ({ ...each, newest: each.values.findLast((value) => value !== null) ?? null }));
    match(
      this._legend,
      named,
      () => make("li", {}, make("i", { "aria-hidden": "true" }), make("span"), make("b")),
      (item, { title, colour, newest }) => {
        const [swatch, name, value] = item.children;
        swatch.style.backgroundColor = colour;
        say(name, title);
        say(value, format(newest, this._panel.unit));
      },
    );
    const words = named.map((each) => `${each.title} ${format(each.newest, this._panel.unit)}`);
    this._box.setAttribute("aria-label", `${this._panel.title}; ${this._context.words.newest}: ${words.join(", ")}`);
    tint(this._box, "plain");
  }

  _size() {
    return { width: Math.max(80, this._box.clientWidth), height: Math.max(HEIGHT_PX, this._box.clientHeight) };
  }

  _resize() {
    const { width, height } = this._size();
    if (this._plot && (this._plot.width !== width || this._plot.height !== height)) {
      this._plot.setSize({ width, height });
    }
  }
}

function pick(place) {
  return COLOURS[place % COLOURS.length];
}

function line(context, x, y, toX, toY) {
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(toX, toY);
  context.stroke();
}

/** Days where the ticks are days apart or it is midnight, else the time. */
function tick(clock, at, step) {
  const time = clock.time(at);
  return step >= 86_400 || time === "00:00" ? clock.day(at) : time;
}
