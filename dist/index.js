// The chooser: fills what was chosen into the commands that stand in the page. Without it they can be read and filled in
// by hand, so nothing here is needed to read the page.
(() => {
  "use strict";
  const one = (id) => document.getElementById(id);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const target = one("target");
  const host = one("host");
  const cells = all("#emulators td[data-target]");

  // The address above the release's folder, if this page was loaded from there. It goes into a shell's command, so
  // one with odd characters is left for the reader to write.
  const servedFrom = (release) => {
    const folder = new URL(".", location.href);
    const known = /^https?:$/.test(folder.protocol) && folder.pathname.endsWith(`/${release}/`);
    const base = folder.origin + folder.pathname.slice(0, -release.length - 2);
    return known && /^[A-Za-z0-9._~/:@%+=,-]+$/.test(base) ? base : "";
  };

  const fill = (selector, text) => {
    for (const place of all(selector)) {
      place.textContent = text;
      place.classList.add("given");
    }
  };

  // What there is for a target, in words; `null` if there is nothing for this host.
  const found = () => {
    const ofTarget = cells.filter((cell) => cell.dataset.target === target.value);
    if (host.value === "") {
      const hosts = ofTarget.map((cell) => cell.dataset.host).join(", ");
      return `qemu-${target.value} runs on ${hosts}.`;
    }
    const cell = ofTarget.find((one) => one.dataset.host === host.value);
    if (cell === undefined) {
      return null;
    }
    const checks = cell.querySelector(":scope > span > .unseen").textContent;
    return `${cell.querySelector("a").textContent}: ${checks}.`;
  };

  const choose = () => {
    const words = found();
    one("commands").hidden = words === null;
    const others = cells.filter((cell) => cell.dataset.target === target.value).map((cell) => cell.dataset.host);
    one("chosen").textContent =
      words ?? `This release has no qemu-${target.value} for ${host.value}; there is one for ${others.join(", ")}.`;
    one("copied").textContent = "";
    fill("#commands var.target", target.value);
    for (const place of all("#commands span.host")) {
      place.textContent = host.value === "" ? "" : ` --host ${host.value}`;
    }
  };

  // Browsers give the clipboard to pages from https, files and this machine; elsewhere the old way still works, and
  // at the worst the command is selected.
  const copy = async (code) => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      return true;
    } catch {
      getSelection().selectAllChildren(code);
      return document.execCommand("copy");
    }
  };

  for (const button of all("button[data-copies]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const done = await copy(one(button.dataset.copies));
      one("copied").textContent = done ? "Copied." : "The command is selected: copy it with Ctrl+C.";
    });
  }
  const missing = one("fill-in-base");
  if (missing !== null) {
    const base = servedFrom(one("get").dataset.release);
    if (base !== "") {
      fill("var.base", base);
      missing.hidden = true;
    }
  }
  one("fill-in").hidden = true;
  one("chooser").hidden = false;
  one("chosen").hidden = false;
  target.addEventListener("change", choose);
  host.addEventListener("change", choose);
  choose();
})();
