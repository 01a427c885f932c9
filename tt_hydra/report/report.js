"use strict";
(() => {
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const narrow = (node) => node.clientWidth < 420;

  function themed(node, spec) {
    const text = colour("--muted");
    const grid = colour("--line");
    const axis = { gridcolor: grid, zeroline: false, linecolor: grid, tickcolor: grid, automargin: true, fixedrange: true };
    const series = [colour("--series-1"), colour("--series-2")];
    const data = spec.data.map((trace) => ({
      ...trace,
      line: { color: series[trace.meta.colour], width: 2, dash: trace.meta.dash },
      marker: { color: series[trace.meta.colour], size: trace.x.length > 40 ? 3 : 5 },
    }));
    const layout = {
      ...spec.layout,
      xaxis: { ...axis, ...spec.layout.xaxis },
      yaxis: { ...axis, ...spec.layout.yaxis },
      annotations: (spec.layout.annotations || []).map((note) => ({
        ...note,
        font: { color: colour("--text"), size: 12 },
        arrowcolor: text,
        bgcolor: colour("--card"),
      })),
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: text },
      hoverlabel: { bgcolor: colour("--card"), bordercolor: grid, font: { color: colour("--text") } },
      hovermode: "x unified",
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
      margin: { l: 8, r: 16, t: 28, b: 8 },
      height: narrow(node) ? 230 : 270,
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
