"use strict";
(() => {
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const narrow = (node) => node.clientWidth < 420;

  // meta of a trace: the colour of its series, or of each of its points a share from 0 to 1 between two colours
  function coloured(trace) {
    const { colour: place, dash, shares, bar } = trace.meta;
    const own = colour(`--series-${place + 1}`);
    const scale = [[0, colour("--low")], [1, colour("--high")]];
    const marked = shares ? { color: shares, colorscale: scale, cmin: 0, cmax: 1 } : { color: own };
    const outline = bar ? {} : { size: trace.x.length > 40 ? 3 : 5 };
    const result = { ...trace, marker: { ...outline, ...trace.marker, ...marked } };
    if (!bar) result.line = { color: own, width: 2, ...trace.line, dash };
    if (trace.error_x) result.error_x = { ...trace.error_x, color: own, thickness: 2, width: 4 };
    return result;
  }

  function themed(node, spec) {
    const text = colour("--muted");
    const grid = colour("--line");
    const axis = { gridcolor: grid, zeroline: false, linecolor: grid, tickcolor: grid, automargin: true, fixedrange: true };
    const data = spec.data.map(coloured);
    const layout = {
      ...spec.layout,
      xaxis: { ...axis, ...spec.layout.xaxis },
      yaxis: { ...axis, ...spec.layout.yaxis },
      shapes: (spec.layout.shapes || []).map((shape) => ({ ...shape, line: { color: text, width: 1, dash: "dot" } })),
      annotations: (spec.layout.annotations || []).map((note) => ({
        ...note,
        font: { color: colour("--text"), size: 12 },
        arrowcolor: text,
        bgcolor: colour("--card"),
      })),
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: text },
      hoverlabel: { bgcolor: colour("--card"), bordercolor: grid, font: { color: colour("--text") } },
      hovermode: spec.layout.hovermode || "x unified",
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", itemsizing: "constant" },
      margin: { l: 8, r: 16, t: 28, b: 8 },
      height: spec.layout.height || (narrow(node) ? 230 : 270),
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
    };
    return { data, layout };
  }

  function draw(width) {
    for (const source of document.querySelectorAll("script[data-plot]")) {
      const node = document.getElementById(source.dataset.plot);
      const { data, layout } = themed(node, JSON.parse(source.textContent));
      if (width) layout.width = width;
      Plotly.react(node, data, layout, { responsive: true, displayModeBar: false });
    }
  }

  let closed = [];
  window.addEventListener("beforeprint", () => {
    root.dataset.print = "";
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((node) => { node.open = true; });
    draw(320);
  });
  window.addEventListener("afterprint", () => {
    delete root.dataset.print;
    closed.forEach((node) => { node.open = false; });
    draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
  draw();
  root.dataset.ready = "";
})();
