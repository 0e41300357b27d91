// Keeps the page up to date: fetches it again, and shows how fast its counters grow.
'use strict';
const PERIOD = 2000;
const KEPT = 90;
// By the counter's name: how fast it grew, the last time last; and its value, with when that was.
const rates = new Map();
const last = new Map();

const grouped = number => Math.round(number).toString().replace(/\B(?=(\d{3})+$)/g, '\u2009');

function inBytes(number) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  for (; number >= 1024 && unit < units.length - 1; unit += 1) number /= 1024;
  return (unit ? number.toFixed(1) : Math.round(number)) + ' ' + units[unit];
}

// The area of a plot is 120 by 32, and its upper end is the highest rate that is shown.
function draw(svg, values) {
  const most = Math.max(...values, 1e-9);
  const point = (value, at) => `${at * 120 / (KEPT - 1)} ${31 - 30 * value / most}`;
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  const first = KEPT - values.length;
  path.setAttribute('d', 'M' + values.map((value, at) => point(value, first + at)).join('L'));
  svg.replaceChildren(path);
}

function grow(article, now) {
  const name = article.dataset.name;
  const total = Number(article.dataset.total);
  const before = last.get(name);
  last.set(name, {total, now});
  const known = rates.get(name) ?? [];
  rates.set(name, known);
  if (before && now > before.now) {
    // A counter that is lower than before has started from zero: the daemon was restarted.
    const grown = total < before.total ? total : total - before.total;
    known.push(grown / (now - before.now) * 1000);
    if (known.length > KEPT) known.shift();
  }
  if (known.length === 0) return;
  const rate = known.at(-1);
  article.querySelector('.rate').textContent =
    ('bytes' in article.dataset ? inBytes(rate) : grouped(rate)) + '/s';
  draw(article.querySelector('svg'), known);
}

function growAll() {
  const now = performance.now();
  for (const article of document.querySelectorAll('#growth article')) grow(article, now);
}

async function renew() {
  // What somebody reads or marks stays.
  if (document.hidden || !getSelection().isCollapsed) return;
  const trouble = document.getElementById('trouble');
  try {
    const answer = await fetch('/', {headers: {accept: 'text/html'}, cache: 'no-store'});
    if (!answer.ok) throw new Error(await answer.text());
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    document.querySelector('main').replaceWith(page.querySelector('main'));
    trouble.hidden = true;
    growAll();
  } catch (error) {
    trouble.textContent = 'No answer: is packet-headers running? What is below is old. (' + error.message.trim() + ')';
    trouble.hidden = false;
  }
}

async function run() {
  growAll();
  for (;;) {
    await new Promise(done => setTimeout(done, PERIOD));
    await renew();
  }
}
run();
