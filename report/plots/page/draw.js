// Draws every plot of the page: each element .plot holds its spec as JSON.
// When all are done the root element gets data-plots="drawn" or "failed".
(function () {
  "use strict";
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var root = document.documentElement;

  // The page is whole in itself: a spec that names a file gets none, and its
  // plot says so instead of showing nothing.
  function closed(refused) {
    var loader = vega.loader();
    loader.load = function (uri) {
      refused.push(uri);
      return Promise.reject(new Error("not loaded: " + uri));
    };
    return loader;
  }

  // Text and lines take the colour of the text around them, so that they fit
  // a light and a dark page.
  function config(ink) {
    return {
      background: null,
      font: "system-ui, sans-serif",
      title: { color: ink, fontSize: 14 },
      style: { "guide-label": { fill: ink }, "guide-title": { fill: ink }, "group-title": { fill: ink } },
      header: { labelColor: ink, titleColor: ink },
      axis: { domainColor: ink, domainOpacity: 0.4, gridColor: ink, gridOpacity: 0.15, tickColor: ink, tickOpacity: 0.4 },
      legend: { labelLimit: 240 },
      text: { fill: ink },
      view: { stroke: ink, strokeOpacity: 0.15 },
      rule: { color: ink }
    };
  }

  // fit makes a spec fit the page. A plot with one view takes the width that it
  // has, one with several takes a row of its own, and a title that stands over
  // the plot already goes. In a page of the user's a plot stays as it is.
  function fit(spec, section) {
    if (!document.body.classList.contains("ctrx")) return spec;
    var title = spec.title && spec.title.text !== undefined ? spec.title.text : spec.title;
    if (title === section.querySelector("h2").textContent) delete spec.title;
    var encoding = spec.encoding || {};
    var many = ["facet", "concat", "hconcat", "vconcat", "repeat", "spec"].some(function (key) { return key in spec; }) ||
      ["column", "row", "facet"].some(function (channel) { return encoding[channel] && Object.keys(encoding[channel]).length > 0; });
    section.classList.toggle("wide", many);
    if (many || typeof spec.width !== "number" || /\/vega\/v/.test(spec.$schema)) return spec;
    return Object.assign({ autosize: { type: "fit-x", contains: "padding" } }, spec, { width: "container" });
  }

  // light tells whether a computed colour is light: the page is dark then.
  function light(colour) {
    var parts = (colour.match(/[\d.]+/g) || []).map(Number);
    return parts.length >= 3 && parts[0] + parts[1] + parts[2] > 384;
  }

  function draw(element) {
    var target = element.querySelector(".canvas");
    if (!target) {
      target = document.createElement("div");
      target.className = "canvas";
      element.appendChild(target);
    }
    var refused = [];
    var ink = window.getComputedStyle(element).color;
    var options = {
      actions: { export: true, source: false, compiled: false, editor: false },
      ast: true,
      config: config(ink),
      downloadFileName: element.parentNode.dataset.plot,
      loader: closed(refused),
      renderer: "canvas",
      tooltip: { theme: light(ink) ? "dark" : "light" }
    };
    return Promise.resolve().then(function () {
      var spec = JSON.parse(element.querySelector("script").textContent);
      delete spec.usermeta; // it could set the options above
      return vegaEmbed(target, fit(spec, element.parentNode), options);
    }).then(function (result) {
      if (refused.length > 0) {
        result.finalize();
        throw new Error("its data must be inside the page, and it asks for " + refused[0]);
      }
      if (element.result) element.result.finalize();
      element.result = result;
      element.dataset.state = "drawn";
      return true;
    }).catch(function (problem) {
      target.textContent = "This plot cannot be drawn: " + problem.message;
      element.dataset.state = "failed";
      return false;
    });
  }

  function drawAll() {
    var plots = Array.prototype.slice.call(document.querySelectorAll(".plot"));
    return Promise.all(plots.map(draw)).then(function (drawn) {
      root.dataset.plots = drawn.every(Boolean) ? "drawn" : "failed";
    });
  }

  drawAll();
  dark.addEventListener("change", drawAll);
})();
