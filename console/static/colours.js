// Colours for what is drawn on a canvas; `console.css` has the same.

export const TONES = {
  good: "#5fc98b",
  warning: "#f2b155",
  bad: "#ff7b72",
  muted: "#93a1b0",
  plain: "#d8dee6",
};

// Told apart by those who see fewer colours too: blue, orange, green, violet, yellow, cyan, rose, grey.
export const COLOURS = [
  "#6cb6ff", "#f2b155", "#5fc98b", "#d2a8ff", "#e2d36b", "#56d4dd", "#ff9bb3", "#b4bfca",
  "#4f8fd6", "#c98a35", "#3d9c69", "#a57bd8",
];

export function alpha(colour, part) {
  return colour + Math.round(part * 255).toString(16).padStart(2, "0");
}
