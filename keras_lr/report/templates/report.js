// Adds to a page that is complete without it: values on the curves, sorted tables, hidden runs and copy buttons.
"use strict";
(() => {
  const each = (selector, act, root = document) => root.querySelectorAll(selector).forEach(act);
  const element = (tag, attributes = {}, text = "") => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = text;
    return made;
  };
  const news = element("p", { class: "unseen", role: "status" });
  document.body.append(news);

  // Numbers, as the page writes them.
  const trimmed = (value, digits) => String(Number(value.toPrecision(digits)));
  const rate = value => {
    const rounded = Number(value.toPrecision(3));
    return rounded === 0 || (rounded >= 1 && rounded < 1000) ? String(rounded) : rounded.toExponential().replace("+", "");
  };
  const written = (label, value) => {
    if (/^(epoch|step)/i.test(label) && Math.abs(value - Math.round(value)) < 0.1) return String(Math.round(value));
    return /^learning rate/i.test(label) ? rate(value) : trimmed(value, 3);
  };

  // Curves.
  const inverse = ([, kind, low, high], share) =>
    kind === "log" ? low * (high / low) ** share : low + (high - low) * share;
  const vertices = group => {
    const places = [];
    each("path", path => {
      if (path.closest("defs")) return;
      for (const [, x, y] of (path.getAttribute("d") ?? "").matchAll(/[ML] (\S+) (\S+)/g)) places.push([Number(x), Number(y)]);
    }, group);
    // A curve without a line consists of its marks.
    if (!places.length) each("use", mark => places.push([Number(mark.getAttribute("x")), Number(mark.getAttribute("y"))]), group);
    // Where a curve goes straight up or down, as at a step, the value is where it ends.
    return places.filter(([x], place) => !(place + 1 < places.length && Math.abs(places[place + 1][0] - x) < 0.01));
  };
  const pointsOf = svg => {
    const scales = JSON.parse(svg.dataset.scales);
    const curves = [];
    each("[data-curve]", group => {
      const { box: [left, bottom, right, top], x: across, y: up } = scales[group.dataset.axes];
      const points = vertices(group)
        .filter(([x, y]) => x > left - 0.5 && x < right + 0.5 && y > top - 0.5 && y < bottom + 0.5)
        .map(([x, y]) => {
          const [at, value] = [inverse(across, (x - left) / (right - left)), inverse(up, (bottom - y) / (bottom - top))];
          return {
            x,
            y,
            group,
            text: `${group.dataset.run ? group.dataset.run + ", " : ""}${group.dataset.curve}: `
              + `${written(up[0], value)} at ${across[0].toLowerCase()} ${written(across[0], at)}`,
          };
        });
      if (points.length) curves.push(points.sort((a, b) => a.x - b.x));
    }, svg);
    return curves;
  };
  const readCurves = (holder, svg) => {
    let curves;
    let curve = 0;
    let place = -1;
    const tip = element("p", { class: "tip", hidden: "" });
    const ring = document.createElementNS(svg.namespaceURI, "circle");
    ring.setAttribute("r", "5");
    ring.setAttribute("class", "ring");
    holder.classList.add("readable");
    holder.append(tip);
    const shownCurves = () => (curves ??= pointsOf(svg)).filter(points => !points[0].group.classList.contains("off"));
    const hide = () => {
      tip.hidden = true;
      ring.remove();
    };
    const show = point => {
      ring.setAttribute("cx", point.x);
      ring.setAttribute("cy", point.y);
      svg.append(ring);
      tip.textContent = point.text;
      tip.hidden = false;
      const [card, mark] = [holder.getBoundingClientRect(), ring.getBoundingClientRect()];
      const middle = mark.left + mark.width / 2 - card.left;
      const left = Math.min(Math.max(0, middle - tip.offsetWidth / 2), Math.max(0, card.width - tip.offsetWidth));
      const above = mark.top - card.top - tip.offsetHeight - 6;
      tip.style.left = `${left}px`;
      tip.style.top = `${above >= 0 ? above : mark.bottom - card.top + 6}px`;
    };
    const nearest = event => {
      const matrix = svg.getScreenCTM();
      if (!matrix) return;
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
      let best = null;
      let least = 40 / matrix.a;
      shownCurves().forEach((points, number) => points.forEach((point, index) => {
        const distance = Math.hypot(point.x - at.x, point.y - at.y);
        if (distance < least) [least, best, curve, place] = [distance, point, number, index];
      }));
      if (best) show(best); else hide();
    };
    const step = event => {
      const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -Infinity], End: [0, Infinity] };
      if (event.key === "Escape") return hide();
      const move = moves[event.key];
      const shown = shownCurves();
      if (!move || !shown.length || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      const before = (shown[curve] ?? shown[0])[Math.max(0, place)];
      curve = (Math.min(curve, shown.length - 1) + move[0] + shown.length) % shown.length;
      const points = shown[curve];
      if (move[0]) {
        const gaps = points.map(point => Math.abs(point.x - (before?.x ?? 0)));
        place = gaps.indexOf(Math.min(...gaps));
      } else place = Math.min(points.length - 1, Math.max(0, place + move[1]));
      show(points[place]);
      news.textContent = points[place].text;
    };
    holder.tabIndex = 0;
    holder.setAttribute("role", "group");
    const title = svg.querySelector("title").textContent;
    holder.setAttribute("aria-label", `${title}. Left and right read the points, up and down change the curve.`);
    holder.addEventListener("pointermove", nearest);
    holder.addEventListener("pointerdown", nearest);
    holder.addEventListener("pointerleave", hide);
    holder.addEventListener("blur", hide);
    holder.addEventListener("keydown", step);
  };
  each(".figure svg[data-scales]", svg => readCurves(svg.parentElement, svg));

  // Runs.
  const offerRuns = figure => {
    const parts = [...figure.querySelectorAll("[data-run]")];
    const names = [...new Set(parts.map(part => part.dataset.run))];
    if (names.length < 2) return;
    // Names that differ only in a number, such as "batch 32", stand in the order of that number.
    const prefix = names[0].match(/^\D*/)[0];
    const size = name => (name.startsWith(prefix) ? Number(name.slice(prefix.length)) : NaN);
    if (!names.some(name => Number.isNaN(size(name)))) names.sort((a, b) => size(a) - size(b));
    const bar = element("div", { class: "runs screen", role: "group", "aria-label": "Runs shown in the figure" });
    const buttons = names.map(name => element("button", { type: "button", "aria-pressed": "true" }, name));
    const all = element("button", { type: "button", class: "all" }, "Hide all");
    const isShown = button => button.getAttribute("aria-pressed") === "true";
    const set = (button, shown) => {
      button.setAttribute("aria-pressed", shown);
      parts.forEach(part => part.dataset.run === button.textContent && part.classList.toggle("off", !shown));
      all.textContent = buttons.some(isShown) ? "Hide all" : "Show all";
    };
    buttons.forEach(button => button.addEventListener("click", () => set(button, !isShown(button))));
    all.addEventListener("click", () => {
      const shown = !buttons.some(isShown);
      buttons.forEach(button => set(button, shown));
    });
    bar.append(...buttons, all);
    figure.prepend(bar);
  };
  each(".figure", offerRuns);

  // Tables.
  const number = text => {
    const found = text.match(/^[^\d∞–-]*([-−]?(?:\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|∞))/i);
    return found ? Number(found[1].replaceAll(",", "").replace("−", "-").replace("∞", "Infinity")) : NaN;
  };
  const compare = (a, b) => {
    const [one, other] = [number(a), number(b)];
    if (Number.isNaN(one) || Number.isNaN(other)) return Number.isNaN(one) - Number.isNaN(other) || a.localeCompare(b, "en");
    return one === other ? a.localeCompare(b, "en") : one < other ? -1 : 1;
  };
  const sortable = table => {
    const body = table.tBodies[0];
    if (body.rows.length < 2) return;
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = element("button", { type: "button", class: "sort" }, head.textContent);
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const falls = head.getAttribute("aria-sort") === "ascending";
        heads.forEach(other => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", falls ? "descending" : "ascending");
        const text = row => row.cells[column].textContent.trim();
        const isMissing = row => /^(–|)$/.test(text(row));
        body.append(...[...body.rows].sort((a, b) =>
          isMissing(a) - isMissing(b) || compare(text(a), text(b)) * (falls ? -1 : 1)));
      });
    });
  };
  each("table", sortable);

  // Code.
  const copy = async (text, area) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      getSelection().selectAllChildren(area);
      document.execCommand("copy");
    }
  };
  each("pre.code", area => {
    const text = area.textContent;
    const name = area.getAttribute("aria-label");
    const button = element("button", { type: "button", class: "copy screen", "aria-label": `Copy ${name}` }, "Copy");
    const holder = element("div", { class: "copyable" });
    area.replaceWith(holder);
    holder.append(button, area);
    button.addEventListener("click", async () => {
      await copy(text, area);
      button.textContent = "Copied";
      news.textContent = `Copied: ${name}`;
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  });
})();
