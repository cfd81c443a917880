// What the pointer is on, as text. Everything else on the page works without this.
for (const plot of document.querySelectorAll("[data-plot]")) {
  const data = JSON.parse(plot.dataset.plot);
  const cross = document.createElement("i");
  const tip = document.createElement("div");
  cross.className = "cross";
  tip.className = "tip";
  const line = (tag, ...texts) => {
    const element = document.createElement(tag);
    element.append(...texts);
    tip.append(element);
  };
  const show = (event) => {
    const box = plot.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * 1000;
    let nearest = 0;
    data.x.forEach((x, index) => {
      if (Math.abs(x - at) < Math.abs(data.x[nearest] - at)) nearest = index;
    });
    tip.replaceChildren();
    line("b", data.l[nearest]);
    for (const series of data.s) {
      if (series.v[nearest] === null) continue;
      const value = document.createElement("b");
      value.textContent = series.v[nearest];
      line("span", series.n, value);
    }
    const share = data.x[nearest] / 10;
    cross.style.left = share + "%";
    tip.style.left = share < 60 ? `calc(${share}% + 10px)` : "auto";
    tip.style.right = share < 60 ? "auto" : `calc(${100 - share}% + 10px)`;
    plot.append(cross, tip);
  };
  const hide = () => {
    cross.remove();
    tip.remove();
  };
  plot.addEventListener("pointermove", show);
  plot.addEventListener("pointerdown", show);
  plot.addEventListener("pointerleave", hide);
}
