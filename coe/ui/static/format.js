// Numbers as people read them. What is not known is a dash.

export const NOTHING = "–";

// With one digit behind the point, so that columns align; what is nearly all or nothing is not called that.
export function percent(share) {
  if (share > 0.999 && share < 1) return "> 99.9 %";
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return `${(share * 100).toFixed(1)} %`;
}

export function bytes(count) {
  if (!count) return NOTHING;
  return count >= 1e9 ? `${(count / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(count / 1e6))} MB`;
}

export function milliseconds(ms) {
  if (ms === 0) return "0 s";
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 100) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

export function span(seconds) {
  if (seconds >= 7200) return `${Math.round(seconds / 3600)} h`;
  if (seconds >= 120) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds)} s`;
}

// `at` in seconds since 1970.
export const ago = (at) => `${span(Math.max(0, Date.now() / 1000 - at))} ago`;

export const counted = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
