// Numbers with their units, as `console/format.py` writes them too.

const SCALES = {
  energy_wh: "Wh",
  power_w: "W",
  volts: "V",
  amperes: "A",
};
const PREFIXES = ["", "k", "M", "G", "T"];
const SPANS = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
];

/** `value` in words of `unit`; what is missing is a dash. */
export function format(value, unit = "none", decimals = null) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return "–";
  switch (unit) {
    case "fraction":
      return `${fixed(100 * value, decimals ?? 1)} %`;
    case "seconds":
      return span(value, decimals);
    case "bytes":
      return scaled(value, "B", decimals, 1024);
    case "per_minute":
      return `${fixed(value, decimals ?? 0)} /min`;
    case "per_second":
      return `${fixed(value, decimals ?? 0)} /s`;
    case "volts":
    case "amperes":
      return `${fixed(value, decimals ?? 1)} ${SCALES[unit]}`;
    case "energy_wh":
    case "power_w":
      return scaled(value, SCALES[unit], decimals, 1000);
    default:
      return fixed(value, decimals ?? (Number.isInteger(value) ? 0 : 2));
  }
}

/** Texts for ticks of an axis: all in one scale, with just as many decimals as tell neighbours apart. */
export function ticks(values, unit) {
  const most = Math.max(...values.map(Math.abs));
  const step = values.length > 1 ? Math.abs(values[1] - values[0]) : most || 1;
  const [factor, symbol] = scaleOf(most, unit);
  const exact = [0, 1, 2, 3].find((decimals) => isWhole((step / factor) * 10 ** decimals));
  const decimals = exact ?? 3;
  return values.map((value) => `${fixed(value / factor, decimals)}${symbol && ` ${symbol}`}`);
}

function isWhole(value) {
  return value > 0.5 && Math.abs(value - Math.round(value)) < 1e-6;
}

function scaleOf(most, unit) {
  const by = (base, symbol) => {
    const size = Math.min(PREFIXES.length - 1, Math.max(0, Math.floor(Math.log(most || 1) / Math.log(base) + 1e-9)));
    return [base ** size, PREFIXES[size] + symbol];
  };
  switch (unit) {
    case "fraction":
      return [0.01, "%"];
    case "seconds":
      return SPANS.find(([length]) => most >= 2 * length) ?? [1, "s"];
    case "bytes":
      return by(1024, "B");
    case "per_minute":
      return [1, "/min"];
    case "per_second":
      return [1, "/s"];
    case "volts":
    case "amperes":
      return [1, SCALES[unit]];
    case "energy_wh":
    case "power_w":
      return by(1000, SCALES[unit]);
    default:
      return [1, ""];
  }
}

function scaled(value, symbol, decimals, base) {
  let size = 0;
  let left = value;
  while (Math.abs(left) >= base && size < PREFIXES.length - 1) {
    left /= base;
    size += 1;
  }
  return `${fixed(left, decimals ?? (size ? 1 : 0))} ${PREFIXES[size]}${symbol}`;
}

function span(value, decimals) {
  for (const [length, symbol] of SPANS) {
    if (Math.abs(value) >= 2 * length) return `${fixed(value / length, decimals ?? 1)} ${symbol}`;
  }
  return `${fixed(value, decimals ?? (Math.abs(value) < 10 ? 1 : 0))} s`;
}

/** With a fixed number of decimals and groups of thousands; no minus before a zero. */
function fixed(value, decimals) {
  const text = Math.abs(value).toFixed(decimals);
  const [whole, part] = text.split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  const minus = value < 0 && Number(text) !== 0 ? "−" : "";
  return minus + grouped + (part ? `.${part}` : "");
}

/** The colour of a number by its steps: that of the last step at or below it. */
export function colourOf(value, column) {
  if (typeof value !== "number" || !column.steps?.length) {
    return typeof value === "number" ? column.below : "plain";
  }
  let colour = column.below;
  for (const step of column.steps) if (value >= step.start) colour = step.colour;
  return colour;
}

/** Text and colour of a cell. */
export function cell(value, column) {
  const word = column.words?.find((each) => each.value === String(value));
  if (word) return { text: word.text, colour: word.colour };
  return { text: format(value, column.unit, column.decimals), colour: colourOf(value, column) };
}

/** Writes instants in the utility's zone. */
export class Clock {
  constructor(timeZone, language) {
    const locale = language === "zh" ? "zh-CN" : "en-GB";
    const of = (options) => new Intl.DateTimeFormat(locale, { timeZone, hourCycle: "h23", ...options });
    this.timeZone = timeZone;
    this._time = of({ hour: "2-digit", minute: "2-digit" });
    this._seconds = of({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
    this._day = of({ month: "short", day: "numeric" });
    const full = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" };
    this._full = of(full);
    this._exact = of({ ...full, second: "2-digit" });
    this._parts = new Intl.DateTimeFormat("en-GB", { timeZone, hourCycle: "h23", ...full, second: "2-digit" });
  }
  time(seconds) {
    return this._time.format(seconds * 1000);
  }
  withSeconds(seconds) {
    return this._seconds.format(seconds * 1000);
  }
  day(seconds) {
    return this._day.format(seconds * 1000);
  }
  full(seconds) {
    return this._full.format(seconds * 1000);
  }
  exact(seconds) {
    return this._exact.format(seconds * 1000);
  }

  /** An instant as the zone's clocks show it, for a field of date and time: 2026-11-23T08:00. */
  wall(date) {
    const found = Object.fromEntries(this._parts.formatToParts(date).map(({ type, value }) => [type, value]));
    return `${found.year}-${found.month}-${found.day}T${found.hour}:${found.minute}`;
  }

  /** The instant at which the zone's clocks show `wall`; of an hour that is skipped, that after it. */
  instant(wall) {
    const shown = Date.parse(`${wall}Z`);
    const ahead = (at) => Date.parse(`${this.wall(new Date(at))}Z`) - at;
    const first = shown - ahead(shown);
    return new Date(shown - ahead(first));
  }
}
