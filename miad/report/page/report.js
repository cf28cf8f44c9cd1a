"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const PAGE = 25;
  const $ = (id) => document.getElementById(id);
  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  // ------------------------------------------------------------------------------------------- candidates
  const state = { sort: "e_above_hull", down: false, page: 0, chosen: null, shown: [] };
  let viewer = null;

  const columns = data.columns.filter(
    ([name]) => !["run", "calculator"].includes(name) || new Set(data.candidates.map((one) => one[name])).size > 1,
  );
  const digits = { e_above_hull: 3, density: 2 };
  const text = (one, name) => {
    const value = one[name];
    if (value === null || value === undefined) return "–";
    return name in digits ? value.toFixed(digits[name]) : String(value);
  };

  const matches = (one, words) =>
    words.every((word) => {
      const elements = one.chemical_system.split("-");
      if (elements.includes(word)) return true;
      if (data.elements.includes(word)) return false;
      const low = word.toLowerCase();
      return [one.reduced_formula, one.space_group, one.crystal_id, one.chemical_system].some((value) =>
        String(value ?? "").toLowerCase().includes(low),
      );
    });

  const compare = (a, b) => {
    const [x, y] = [a[state.sort], b[state.sort]];
    if (x === y) return 0;
    if (x === null || x === undefined) return 1;
    if (y === null || y === undefined) return -1;
    const order = typeof x === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
    return state.down ? -order : order;
  };

  const filter = () => {
    const words = $("words").value.split(/[\s,]+/).filter(Boolean);
    const [run, system, height] = [$("run").value, $("system").value, $("height").valueAsNumber];
    state.shown = data.candidates
      .filter(
        (one) =>
          (!run || one.run === run) &&
          (!system || one.crystal_system === system) &&
          (Number.isNaN(height) || (one.e_above_hull !== null && one.e_above_hull <= height)) &&
          matches(one, words),
      )
      .sort(compare);
    state.page = 0;
    draw();
  };

  const row = (one) => {
    const line = make("tr");
    line.setAttribute("aria-selected", String(one === state.chosen));
    const button = make("button", one.reduced_formula, { type: "button", title: `View ${one.crystal_id} in 3D` });
    button.addEventListener("click", () => show(one));
    const first = make("th", undefined, { scope: "row" });
    first.append(button);
    line.append(first);
    for (const [name, heading] of columns.slice(1)) {
      const cell = make("td", text(one, name), { "data-name": heading });
      if (typeof one[name] === "number") cell.className = "number";
      line.append(cell);
    }
    return line;
  };

  const draw = () => {
    const pages = Math.max(1, Math.ceil(state.shown.length / PAGE));
    const start = state.page * PAGE;
    $("list").tBodies[0].replaceChildren(...state.shown.slice(start, start + PAGE).map(row));
    $("count").textContent = `${state.shown.length} of ${data.candidates.length} candidates`;
    $("page").textContent = `page ${state.page + 1} of ${pages}`;
    $("before").disabled = state.page === 0;
    $("after").disabled = state.page >= pages - 1;
    for (const head of $("list").tHead.rows[0].cells) {
      if (!head.dataset.key) continue;
      const is = head.dataset.key === state.sort;
      head.setAttribute("aria-sort", is ? (state.down ? "descending" : "ascending") : "none");
    }
  };

  const KINDS = [, "element", "binary", "ternary", "quaternary"];
  const kind = (one) => KINDS[one.chemical_system.split("-").length] ?? "phase of all its elements";

  const facts = (one) => [
    ["id", one.crystal_id],
    ["run", one.run],
    ["above hull", `${text(one, "e_above_hull")} eV/atom`],
    ["energy", one.energy_per_atom === null ? "–" : `${one.energy_per_atom.toFixed(4)} eV/atom`],
    ["competes with", one.decomposition ?? "–"],
    ...(one.has_rivals ? [] : [["caution", `no known ${kind(one)} competes here`]]),
    ["space group", one.space_group ?? "not found"],
    ["atoms in cell", text(one, "num_atoms")],
    ["density", `${text(one, "density")} g/cm³`],
    ["calculator", one.calculator ?? "–"],
    ...(one.flags ? [["doubtful", one.flags]] : []),
  ];

  const render = () => {
    const spaceFilling = $("spheres").checked;
    project(viewer, state.chosen.structure, { cells: Number($("cells").value), spaceFilling, axes: "abc" });
  };

  const show = (one) => {
    state.chosen = one;
    $("panel").hidden = false;
    $("name").textContent = one.reduced_formula;
    $("viewer").setAttribute("aria-label", `Structure of ${one.reduced_formula}, ${one.num_atoms} atoms`);
    $("cif").href = `data:chemical/x-cif;charset=utf-8,${encodeURIComponent(one.cif)}`;
    $("cif").download = one.file;
    $("facts").replaceChildren(...facts(one).flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
    viewer ??= viewerIn($("viewer"));
    render();
    draw();
    $("panel").scrollIntoView({ block: "nearest" });
    $("name").focus({ preventScroll: true });
  };

  const close = () => {
    const id = state.chosen?.crystal_id;
    state.chosen = null;
    $("panel").hidden = true;
    draw();
    const place = state.shown.slice(state.page * PAGE).findIndex((one) => one.crystal_id === id);
    $("list").tBodies[0].rows[place]?.querySelector("button")?.focus();
  };

  const options = (select, values) => select.append(...values.map((value) => make("option", value, { value })));
  const distinct = (name) => [...new Set(data.candidates.map((one) => one[name]))];

  const heads = columns.map(([name, heading]) => {
    const head = make("th", undefined, { scope: "col", "data-key": name });
    const button = make("button", heading, { type: "button" });
    button.addEventListener("click", () => {
      state.down = state.sort === name && !state.down;
      state.sort = name;
      filter();
    });
    head.append(button);
    return head;
  });
  $("list").tHead.rows[0].append(...heads);
  options($("run"), distinct("run"));
  options($("system"), data.crystal_systems.filter((name) => distinct("crystal_system").includes(name)));
  $("run").closest("label").hidden = distinct("run").length < 2;
  for (const id of ["words", "height"]) $(id).addEventListener("input", filter);
  for (const id of ["run", "system"]) $(id).addEventListener("change", filter);
  $("reset").addEventListener("click", () => setTimeout(filter));
  $("before").addEventListener("click", () => { state.page -= 1; draw(); });
  $("after").addEventListener("click", () => { state.page += 1; draw(); });
  $("close").addEventListener("click", close);
  $("panel").addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
  for (const id of ["cells", "spheres"]) $(id).addEventListener("change", render);
  filter();

  // ------------------------------------------------------------------------------------------- a generation
  const film = data.generation;
  if (film) {
    let projector = null;
    let timer = null;
    const frame = () => {
      const index = Number($("moment").value);
      const snapshot = film.frames[index];
      project(projector, snapshot); // each fitted to the view: cells of different size have different centres
      $("moment-text").textContent = `t = ${film.times[index]}, ${snapshot.size} atoms`;
    };
    const stop = () => {
      clearTimeout(timer);
      timer = null;
      $("play").textContent = "Play";
    };
    const step = () => {
      const last = Number($("moment").max);
      if (Number($("moment").value) >= last) return stop();
      $("moment").value = Number($("moment").value) + 1;
      frame();
      // After the frame, not every so often: a slow machine plays slowly and stays usable.
      timer = setTimeout(step, 120);
    };
    $("start").addEventListener("click", () => {
      projector = viewerIn($("film"));
      $("play").disabled = $("moment").disabled = false;
      frame();
      $("play").focus();
    });
    $("moment").addEventListener("input", frame);
    $("play").addEventListener("click", () => {
      if (timer) return stop();
      if ($("moment").value === $("moment").max) $("moment").value = 0;
      $("play").textContent = "Pause";
      timer = setTimeout(step, 120);
    });
  }
})();
