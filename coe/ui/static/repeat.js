// Work that is repeated while it can be seen.

// Runs `work` every `seconds` while the page and `section` are visible, and at once when they become so. Returns a way
// to run it now; runs never overlap.
export function repeatWhileVisible(section, seconds, work) {
  let timer = null;
  let running = false;
  let again = false;

  async function run() {
    clearTimeout(timer);
    if (document.hidden || section?.hidden) return;
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      await work();
    } finally {
      running = false;
      timer = setTimeout(run, again ? 0 : seconds * 1000);
      again = false;
    }
  }

  document.addEventListener("visibilitychange", run);
  if (section) new MutationObserver(run).observe(section, { attributeFilter: ["hidden"] });
  run();
  return run;
}
