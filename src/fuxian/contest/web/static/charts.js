// Draws the charts of a page from their data; the same figures stand in the table beside each.
"use strict";

const TONES = {
  won: ["--good", "pin"], provisional: ["--wait", "diamond"], review: ["--star", "triangle"], queued: ["--busy", "circle"],
  rejected: ["--bad", "rect"], void: ["--plain", "emptyCircle"], withdrawn: ["--muted", "emptyRect"],
  unranked: ["--plain", "emptyTriangle"], disqualified: ["--bad", "emptyDiamond"],
};

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function common(data) {
  const ink = colour("--ink");
  return {
    animation: false,
    textStyle: { color: ink, fontFamily: getComputedStyle(document.body).fontFamily },
    aria: { enabled: true, label: { description: data.label }, decal: { show: true } },
    legend: { bottom: 0, type: "scroll", textStyle: { color: ink } },
    tooltip: { renderMode: "richText", confine: true },
    grid: { left: 12, right: 24, top: 24, bottom: 48, containLabel: true },
  };
}

function axis(more) {
  const rule = colour("--rule");
  return {
    axisLabel: { color: colour("--muted"), hideOverlap: true },
    axisLine: { lineStyle: { color: rule } },
    splitLine: { lineStyle: { color: rule } },
    ...more,
  };
}

function bars(data) {
  return {
    ...common(data),
    xAxis: axis({ type: "category", data: data.names }),
    yAxis: axis({ type: "value", minInterval: 1 }),
    series: data.series.map((one) => ({
      type: "bar", stack: "all", name: one.name, data: one.values, barMaxWidth: 56,
      itemStyle: { color: colour((TONES[one.key] || ["--plain"])[0]), borderColor: colour("--card"), borderWidth: 1 },
    })),
  };
}

function race(data) {
  // The axis speaks the contest's time zone, whatever the reader's is: moments are moved by the offset and shown as UTC.
  const shift = data.offset * 60000;
  const moments = data.points.map((point) => new Date(point.at).getTime() + shift);
  const [first, last] = [Math.min(...moments), Math.max(...moments)];
  const room = Math.max(3600000, (last - first) * 0.06);
  const kinds = [...new Map(data.points.map((point) => [point.key, point.name]))];
  return {
    ...common(data),
    useUTC: true,
    tooltip: {
      renderMode: "richText", confine: true,
      formatter: (one) => `#${one.data.number} ${one.data.team}\n${one.seriesName}\n${new Date(one.data.value[0]).toISOString().slice(0, 16).replace("T", " ")}`,
    },
    xAxis: axis({ type: "time", min: first - room, max: last + room, axisLabel: { color: colour("--muted"), hideOverlap: true, formatter: "{MM}-{dd} {HH}:{mm}" } }),
    yAxis: axis({ type: "category", data: data.teams, axisLabel: { color: colour("--ink"), width: 110, overflow: "truncate" } }),
    series: kinds.map(([key, name]) => ({
      type: "scatter", name, symbolSize: key === "won" ? 26 : 15, symbol: (TONES[key] || ["", "circle"])[1],
      itemStyle: { color: colour((TONES[key] || ["--plain"])[0]) },
      data: data.points.filter((point) => point.key === key && data.teams.includes(point.team))
        .map((point) => ({ value: [new Date(point.at).getTime() + shift, point.team], number: point.number, team: point.team })),
    })),
  };
}

function draw(root) {
  for (const place of root.querySelectorAll(".chart[data-chart]")) {
    const data = JSON.parse(place.dataset.chart);
    if (!(data.points || data.series).length) continue;
    place.hidden = false;
    const chart = echarts.getInstanceByDom(place) || echarts.init(place, null, { renderer: "canvas" });
    chart.setOption(data.kind === "bars" ? bars(data) : race(data), true);
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", data.label);
  }
}

document.addEventListener("DOMContentLoaded", () => {
  draw(document);
  addEventListener("resize", () => document.querySelectorAll(".chart[data-chart]").forEach((place) => echarts.getInstanceByDom(place)?.resize()));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(document));
});
document.addEventListener("htmx:afterSettle", () => draw(document));
