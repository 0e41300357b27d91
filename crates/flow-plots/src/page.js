// Shows the values under the pointer. Marking a part of a graph shows it larger; a double click shows all.
'use strict';
for (const plot of document.querySelectorAll('.plot')) {
  const areas = [...plot.querySelectorAll('.area')];
  const output = document.querySelector('output');
  const make = (parent, name, attributes) => {
    const element = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    return parent.appendChild(element);
  };
  const set = (element, attributes) => {
    for (const key in attributes) element.setAttribute(key, attributes[key]);
  };
  const round = (value, range) => value.toFixed(Math.max(0, 3 - Math.floor(Math.log10(range || 1))));
  for (const area of areas) {
    area.full = [0, 0, area.width.baseVal.value, area.height.baseVal.value];
    area.box = area.full;
    make(area, 'rect', {class: 'hit', width: area.full[2], height: area.full[3]});
    area.cross = make(area, 'path', {class: 'cross'});
    area.mark = make(area, 'rect', {class: 'mark', width: 0, height: 0});
  }
  // From a place in an area to its values, and back to text.
  const time = (area, x) => x / area.full[2] * area.dataset.x;
  const value = (area, y) => (1 - y / area.full[3]) * area.dataset.y;
  const place = (area, event) => {
    const bounds = area.querySelector('.hit').getScreenCTM().inverse();
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(bounds);
    return [point.x, point.y];
  };
  const show = (area, box) => {
    area.box = box;
    set(area, {viewBox: box.join(' ')});
    for (const tick of area.parentNode.querySelectorAll('.tx, .ty')) {
      tick.first ??= tick.textContent;
      const across = tick.classList.contains('tx');
      const whole = across ? box[2] === area.full[2] : box[3] === area.full[3];
      if (whole) {
        tick.textContent = tick.first;
      } else if (across) {
        const x = box[0] + tick.getAttribute('x') / area.full[2] * box[2];
        tick.textContent = round(time(area, x), time(area, box[2]));
      } else {
        const y = box[1] + (tick.getAttribute('y') - 4) / area.full[3] * box[3];
        tick.textContent = round(value(area, y), area.dataset.y * box[3] / area.full[3]);
      }
    }
  };
  let from = null;
  for (const area of areas) {
    area.addEventListener('pointermove', event => {
      const [x, y] = place(area, event);
      for (const other of areas) {
        const [, top, , height] = other.box;
        set(other.cross, {d: `M${x} ${top}v${height}`});
      }
      const text = [
        round(time(area, x), time(area, area.box[2])) + ' ' + area.dataset.xu,
        round(value(area, y), area.dataset.y * area.box[3] / area.full[3]) + ' ' + area.dataset.yu,
      ];
      output.textContent = text.join(', ');
      output.hidden = false;
      const left = Math.min(event.clientX + 14, innerWidth - output.offsetWidth - 4);
      output.style.left = left + 'px';
      output.style.top = event.clientY + 14 + 'px';
      if (from) {
        set(area.mark, {
          x: Math.min(x, from[0]), y: Math.min(y, from[1]),
          width: Math.abs(x - from[0]), height: Math.abs(y - from[1]),
        });
      }
    });
    area.addEventListener('pointerdown', event => {
      if (event.pointerType === 'touch' || event.button !== 0) return;
      from = place(area, event);
      area.setPointerCapture(event.pointerId);
    });
    area.addEventListener('pointerup', event => {
      if (!from) return;
      const to = place(area, event);
      const clamp = (number, most) => Math.min(Math.max(number, 0), most);
      const [x1, x2] = [from[0], to[0]].map(x => clamp(x, area.full[2])).sort((a, b) => a - b);
      const [y1, y2] = [from[1], to[1]].map(y => clamp(y, area.full[3])).sort((a, b) => a - b);
      from = null;
      set(area.mark, {width: 0, height: 0});
      const [wide, high] = [(x2 - x1) / area.box[2], (y2 - y1) / area.box[3]];
      if (wide < 0.01) return;
      for (const other of areas) {
        const own = other === area && high > 0.05 ? [y1, y2 - y1] : [other.box[1], other.box[3]];
        show(other, [x1, own[0], x2 - x1, own[1]]);
      }
    });
    area.addEventListener('pointerleave', () => {
      output.hidden = true;
      for (const other of areas) set(other.cross, {d: ''});
    });
    area.addEventListener('dblclick', () => areas.forEach(other => show(other, other.full)));
  }
}
