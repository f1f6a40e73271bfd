// Colours each map by the chosen label and shows a point's text under the pointer.
document.querySelectorAll(".map").forEach((map) => {
  const labels = JSON.parse(map.querySelector("script").textContent);
  const points = [...map.querySelectorAll("circle")];
  const chosen = map.querySelector("select");
  const legend = map.querySelector(".legend");
  const tip = map.querySelector(".tip");
  const svg = map.querySelector("svg");
  const most = 11;

  function colour() {
    const values = (chosen && labels[chosen.value]) || [];
    const counts = new Map();
    values.forEach((value) => counts.set(value, (counts.get(value) || 0) + 1));
    const order = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a));
    const place = (value) => Math.min(Math.max(order.indexOf(value), 0), most);
    points.forEach((point, i) => point.setAttribute("class", "c" + place(values[i])));
    legend.replaceChildren();
    order.slice(0, most + 1).forEach((value, i) => {
      const entry = document.createElement("span");
      entry.className = "key c" + i;
      entry.textContent = i === most && order.length > most + 1 ? "other" : value;
      legend.append(entry);
    });
  }

  const texts = points.map((point) => point.querySelector("title").textContent);
  points.forEach((point) => point.querySelector("title").remove());
  svg.addEventListener("pointermove", (event) => {
    const i = points.indexOf(event.target);
    tip.hidden = i < 0;
    if (i < 0) return;
    tip.textContent = texts[i];
    const box = map.getBoundingClientRect();
    tip.style.left = Math.min(event.clientX - box.left + 12, box.width - 240) + "px";
    tip.style.top = event.clientY - box.top + 14 + "px";
  });
  svg.addEventListener("pointerleave", () => { tip.hidden = true; });
  if (chosen) chosen.addEventListener("change", colour);
  colour();
});
