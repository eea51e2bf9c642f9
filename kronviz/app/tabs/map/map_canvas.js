// A map that can be moved: points drawn by WebGL (in memory if there is none, or only an emulated
// one), with marks and labels as SVG above them. It knows coordinates from 0 to 1 and no words.
() => {
  if (window.kronvizCanvas) return;
  const VERTEX = `attribute vec2 at; attribute vec4 ink; uniform vec2 scale, shift; uniform mediump float size;
    varying vec4 colour; void main() { gl_Position = vec4(at * scale + shift, 0.0, 1.0);
    gl_PointSize = size; colour = vec4(ink.rgb * ink.a, ink.a); }`;
  const FRAGMENT = `precision mediump float; varying vec4 colour; uniform mediump float size; void main() {
    float away = length(gl_PointCoord - 0.5) * size; float edge = smoothstep(size * 0.5, size * 0.5 - 1.0, away);
    gl_FragColor = colour * edge; }`;
  const SVG = "http://www.w3.org/2000/svg";
  const CELLS = 96;
  const SHAPES = {
    self: (s) => `M${-s} 0a${s} ${s} 0 1 0 ${2 * s} 0a${s} ${s} 0 1 0 ${-2 * s} 0Z`,
    moved: (s) => `M${-s} 0a${s} ${s} 0 1 0 ${2 * s} 0a${s} ${s} 0 1 0 ${-2 * s} 0Z`,
    near: (s) => `M${-s} 0a${s} ${s} 0 1 0 ${2 * s} 0a${s} ${s} 0 1 0 ${-2 * s} 0Z`,
    typographic: (s) => `M${-s} ${-s}H${s}V${s}H${-s}Z`,
    morphological: (s) => `M0 ${-1.15 * s}L${1.1 * s} ${0.85 * s}H${-1.1 * s}Z`,
    byte: (s) => `M0 ${-1.2 * s}L${1.2 * s} 0L0 ${1.2 * s}L${-1.2 * s} 0Z`,
    own: (s) => `M${-s} ${-0.3 * s}H${-0.3 * s}V${-s}H${0.3 * s}V${-0.3 * s}H${s}V${0.3 * s}H${0.3 * s}V${s}H${-0.3 * s}V${0.3 * s}H${-s}Z`,
  };
  const RADIUS = { self: 6.5, near: 6, moved: 6, typographic: 4.5, morphological: 5, byte: 4.2, own: 5.5 };
  const isolated = (text) => `\u2068${text}\u2069`; // keeps its own direction, also right to left
  const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

  const program = (gl) => {
    const made = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(made, shader);
    }
    gl.linkProgram(made);
    return gl.getProgramParameter(made, gl.LINK_STATUS) ? made : null;
  };

  let known;
  const emulated = () => {
    if (window.kronvizCanvas.always) return false;
    if (known === undefined) {
      const gl = document.createElement("canvas").getContext("webgl");
      const facts = gl?.getExtension("WEBGL_debug_renderer_info");
      known = !gl || /swiftshader|llvmpipe|software/i.test(facts ? gl.getParameter(facts.UNMASKED_RENDERER_WEBGL) : "");
      gl?.getExtension("WEBGL_lose_context")?.loseContext();
    }
    return known;
  };

  class Plot {
    constructor(frame, heard) {
      this.frame = frame;
      this.heard = heard;
      this.canvas = frame.querySelector("canvas");
      this.svg = frame.querySelector(".kv-map-marks");
      this.view = { x: 0.5, y: 0.5, z: 1 };
      this.count = 0;
      this.places = new Float32Array(0);
      this.colours = new Uint8Array(0);
      this.items = { lines: [], marks: [] };
      this.names = []; // of places: { text, at }
      this.line = null; // the lasso, closed or being drawn
      const gl = emulated() ? null : this.canvas.getContext("webgl", { antialias: false, premultipliedAlpha: true });
      this.gl = gl;
      this.program = gl && program(gl);
      if (this.program) {
        gl.useProgram(this.program);
        gl.enable(gl.BLEND);
        gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
        this.buffers = ["at", "ink"].map(() => gl.createBuffer());
        this.uniform = Object.fromEntries(["scale", "shift", "size"].map((name) => [name, gl.getUniformLocation(this.program, name)]));
      } else {
        this.plain = this.canvas.getContext("2d");
      }
      new ResizeObserver(() => this.resize()).observe(frame);
      this.resize();
      this.listen();
    }

    resize(ratio = devicePixelRatio || 1) {
      const hidden = !this.width || !this.height;
      this.width = this.frame.clientWidth;
      this.height = this.frame.clientHeight;
      this.ratio = ratio;
      this.canvas.width = Math.max(1, Math.round(this.width * ratio));
      this.canvas.height = Math.max(1, Math.round(this.height * ratio));
      this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
      // A map that arrived while its tab was hidden had no size to fit into.
      if (hidden && this.width && this.home) {
        const there = this.view.x === this.home.x && this.view.z === this.home.z;
        this.home = this.bulk();
        if (there) this.look(this.home, false);
      }
      this.later();
    }

    // points: Uint16Array or Float32Array of x, y in turn; steps: the value that means 1.
    set(points, steps) {
      this.moving = null;
      this.count = points.length / 2;
      this.places = Float32Array.from(points, (value) => value / steps);
      this.colours = new Uint8Array(4 * this.count);
      this.index();
      this.home = this.bulk();
      if (this.program) this.fill(0, "at", this.places, 2, this.gl.FLOAT, false);
      this.later();
    }

    // Move points to their new places; at once if the visitor prefers no motion.
    morph(points, steps) {
      const from = this.places, still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      this.set(points, steps);
      if (still || from.length !== this.places.length || !this.width) return;
      const to = this.places, began = performance.now();
      const step = (now) => {
        if (this.moving !== step) return;
        const share = clamp((now - began) / 700, 0, 1);
        const eased = share * share * (3 - 2 * share);
        this.places = share === 1 ? to : Float32Array.from(to, (value, at) => from[at] + (value - from[at]) * eased);
        if (this.program) this.fill(0, "at", this.places, 2, this.gl.FLOAT, false);
        this.draw();
        if (share < 1) requestAnimationFrame(step);
      };
      this.moving = step;
      step(began);
    }

    paint(colours) {
      this.colours = colours;
      if (this.program) this.fill(1, "ink", colours, 4, this.gl.UNSIGNED_BYTE, true);
      this.later();
    }

    fill(buffer, name, values, size, type, whole) {
      const { gl } = this;
      const place = gl.getAttribLocation(this.program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[buffer]);
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, size, type, whole, 0, 0);
    }

    index() {
      const cell = (value) => clamp(Math.floor(value * CELLS), 0, CELLS - 1);
      const starts = new Uint32Array(CELLS * CELLS + 1);
      const cells = new Uint16Array(this.count);
      for (let i = 0; i < this.count; i += 1) {
        cells[i] = cell(this.places[2 * i + 1]) * CELLS + cell(this.places[2 * i]);
        starts[cells[i] + 1] += 1;
      }
      for (let i = 0; i < CELLS * CELLS; i += 1) starts[i + 1] += starts[i];
      const next = starts.slice();
      this.order = new Uint32Array(this.count);
      for (let i = 0; i < this.count; i += 1) this.order[next[cells[i]]++] = i;
      this.starts = starts;
    }

    // The area of nearly all points: a few far away would shrink the rest to a blot.
    bulk() {
      if (this.count < 500) return { x: 0.5, y: 0.5, z: 0.85 };
      const ends = [0, 1].map((axis) => {
        const sorted = Float32Array.from({ length: this.count }, (_, i) => this.places[2 * i + axis]).sort();
        return [sorted[Math.floor(this.count * 0.015)], sorted[Math.floor(this.count * 0.985)]];
      });
      const [[left, right], [low, high]] = ends;
      const side = Math.min(this.width, this.height) * 0.93;
      const z = side === 0 ? 1 : Math.min((0.84 * this.width) / (right - left || 1), (0.84 * this.height) / (high - low || 1)) / side;
      return { x: (left + right) / 2, y: (low + high) / 2, z: clamp(z, 1, 4) };
    }

    get unit() { return Math.min(this.width, this.height) * 0.93 * this.view.z; }
    get size() {
      const few = this.count < 20_000 ? 2.6 : 1.7;
      return clamp(few * Math.min(this.view.z, 40) ** 0.4, 1.5, 9);
    }
    toScreen(x, y) {
      return [this.width / 2 + (x - this.view.x) * this.unit, this.height / 2 - (y - this.view.y) * this.unit];
    }
    toPlace(left, top) {
      return [this.view.x + (left - this.width / 2) / this.unit, this.view.y - (top - this.height / 2) / this.unit];
    }

    nearest(left, top, reach = 14) {
      if (!this.count) return null;
      const [x, y] = this.toPlace(left, top);
      const far = reach / this.unit;
      const cell = (value) => clamp(Math.floor(value * CELLS), 0, CELLS - 1);
      let best = null;
      let least = far * far;
      for (let row = cell(y - far); row <= cell(y + far); row += 1) {
        for (let place = this.starts[row * CELLS + cell(x - far)]; place < this.starts[row * CELLS + cell(x + far) + 1]; place += 1) {
          const point = this.order[place];
          const away = (this.places[2 * point] - x) ** 2 + (this.places[2 * point + 1] - y) ** 2;
          if (away < least) { least = away; best = point; }
        }
      }
      return best;
    }

    // The point that the keyboard has chosen.
    middle() { return this.nearest(this.width / 2, this.height / 2, 40); }

    mark(items) {
      this.items = items;
      this.later();
    }

    later() {
      if (this.waiting) return;
      this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.draw(); });
    }

    draw() {
      if (this.program) this.drawPoints();
      else this.drawPlain();
      this.drawMarks();
      clearTimeout(this.settling);
      this.settling = setTimeout(() => this.heard.settled?.(), 180);
    }

    drawPoints() {
      const { gl, view } = this;
      gl.viewport(0, 0, this.canvas.width, this.canvas.height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      if (!this.count) return;
      const across = (2 * this.unit) / this.width;
      const up = (2 * this.unit) / this.height;
      gl.uniform2f(this.uniform.scale, across, up);
      gl.uniform2f(this.uniform.shift, -view.x * across, -view.y * up);
      gl.uniform1f(this.uniform.size, this.size * this.ratio);
      gl.drawArrays(gl.POINTS, 0, this.count);
    }

    // Points drawn in memory: several times faster if the graphics card is emulated.
    drawPlain() {
      const { width, height } = this.canvas;
      if (this.image?.width !== width || this.image.height !== height) this.image = new ImageData(width, height);
      const cells = new Uint32Array(this.image.data.buffer);
      cells.fill(0);
      const inks = new Uint32Array(this.colours.buffer);
      const scale = this.unit * this.ratio;
      const [left, top] = [width / 2 - this.view.x * scale, height / 2 + this.view.y * scale];
      const size = Math.max(1, Math.round(this.size * this.ratio));
      const thin = size > 2 ? 0.8 : 0.55; // a square covers more than the disc that it replaces
      for (let i = 0; i < this.count; i += 1) {
        const column = (left + this.places[2 * i] * scale - size / 2) | 0;
        const row = (top - this.places[2 * i + 1] * scale - size / 2) | 0;
        if (column < 0 || row < 0 || column + size > width || row + size > height) continue;
        // Overlapping points become opaque, so that dense places stand out.
        const share = (inks[i] >>> 24) * thin;
        for (let down = 0; down < size; down += 1) {
          const start = (row + down) * width + column;
          for (let at = start; at < start + size; at += 1) {
            const there = cells[at] >>> 24;
            cells[at] = (inks[i] & 0xffffff) | ((there + (((255 - there) * share) >> 8)) << 24);
          }
        }
      }
      this.plain.putImageData(this.image, 0, 0);
    }

    drawMarks() {
      const drawn = [];
      const inside = ([left, top]) => left > -40 && top > -40 && left < this.width + 40 && top < this.height + 40;
      for (const line of this.items.lines) {
        const [a, b] = [this.toScreen(...line.from), this.toScreen(...line.to)];
        drawn.push(`<line class="kv-map-line kv-map-line-${line.kind}" x1="${a[0].toFixed(1)}" y1="${a[1].toFixed(1)}" x2="${b[0].toFixed(1)}" y2="${b[1].toFixed(1)}"/>`);
      }
      const zoom = this.frame.querySelector(".kv-map-zoom");
      const boxes = zoom ? [[zoom.offsetLeft - 4, zoom.offsetTop - 4, this.width, this.height]] : [];
      const signs = this.items.marks.map((mark) => this.toScreen(...mark.at)).filter(inside)
        .map(([left, top]) => [left - 5, top - 5, left + 5, top + 5]);
      const meets = (box) => (other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3];
      const labels = [];
      for (const mark of this.items.marks) {
        const at = this.toScreen(...mark.at);
        if (!inside(at)) continue;
        const [left, top] = at.map((value) => value.toFixed(1));
        drawn.push(`<path class="kv-map-sign kv-map-sign-${mark.kind}${mark.mean ? " kv-map-sign-mean" : ""}" d="${SHAPES[mark.kind](RADIUS[mark.kind])}" transform="translate(${left} ${top})"/>`);
        if (!mark.label) continue;
        // Searched words have their names even among many signs; others get theirs when zoomed in.
        const asked = mark.kind === "self" || mark.kind === "own";
        const wide = mark.label.length * (mark.kind === "self" ? 8.5 : 7.3) + 4;
        const before = -wide - 8;
        const spots = [[10, 4], [before, 4], [-wide / 2, -10], [-wide / 2, 20], [10, -6], [10, 15], [before, -6], [before, 15]]
          .map(([dx, dy]) => [at[0] + dx, at[1] + dy - 11, at[0] + dx + wide, at[1] + dy + 4])
          .filter((box) => box[0] >= 2 && box[1] >= 2 && box[2] <= this.width - 2 && box[3] <= this.height - 2)
          .filter((box) => !boxes.some(meets(box)));
        const spot = spots.find((box) => !signs.some(meets(box))) ?? (asked ? spots[0] : undefined);
        if (!spot) continue;
        boxes.push(spot);
        labels.push([spot[0] + 2, spot[1] + 11, mark]);
      }
      if (this.line?.length > 1) {
        const corners = this.line.map((at) => this.toScreen(...at).map((value) => value.toFixed(1)).join(" "));
        drawn.push(`<path class="kv-map-lasso" d="M${corners.join("L")}Z"/>`);
      }
      this.svg.innerHTML = drawn.join("");
      for (const { text, at } of this.names) {
        const [left, top] = this.toScreen(...at);
        const wide = text.length * 7.6 + 6;
        const box = [left - wide / 2, top - 9, left + wide / 2, top + 9];
        if (box[0] < 2 || box[1] < 2 || box[2] > this.width - 2 || box[3] > this.height - 2 || boxes.some(meets(box))) continue;
        boxes.push(box);
        const name = document.createElementNS(SVG, "text");
        name.setAttribute("x", left.toFixed(1));
        name.setAttribute("y", (top + 4).toFixed(1));
        name.setAttribute("class", "kv-map-name");
        name.textContent = isolated(text);
        this.svg.append(name);
      }
      for (const [left, top, mark] of labels) {
        const text = document.createElementNS(SVG, "text");
        text.setAttribute("x", left.toFixed(1));
        text.setAttribute("y", top.toFixed(1));
        text.setAttribute("class", `kv-map-label${mark.kind === "self" ? " kv-map-label-self" : ""}`);
        text.textContent = isolated(mark.label);
        this.svg.append(text);
      }
    }

    // ---- moving ----
    look(view, told = true) {
      const z = clamp(view.z, 0.5, 400);
      this.view = { x: clamp(view.x, -0.5, 1.5), y: clamp(view.y, -0.5, 1.5), z };
      this.later();
      if (told) this.heard.moved?.();
    }
    zoom(by, left = this.width / 2, top = this.height / 2) {
      const [x, y] = this.toPlace(left, top);
      const z = clamp(this.view.z * by, 0.5, 400);
      const kept = this.view.z / z;
      this.look({ x: x + (this.view.x - x) * kept, y: y + (this.view.y - y) * kept, z });
    }
    fit(places) {
      if (!places.length) return;
      const xs = places.map(([x]) => x);
      const ys = places.map(([, y]) => y);
      const [low, high] = [[Math.min(...xs), Math.min(...ys)], [Math.max(...xs), Math.max(...ys)]];
      const base = Math.min(this.width, this.height) * 0.93;
      const room = [(this.width - 150) / base, (this.height - 70) / base];
      const z = Math.min(room[0] / Math.max(high[0] - low[0], 0.004), room[1] / Math.max(high[1] - low[1], 0.004), 60);
      this.look({ x: (low[0] + high[0]) / 2, y: (low[1] + high[1]) / 2, z });
    }

    listen() {
      const { frame } = this;
      const pointers = new Map();
      let moved = 0;
      const at = (event) => {
        const box = frame.getBoundingClientRect();
        return [event.clientX - box.left, event.clientY - box.top];
      };
      frame.addEventListener("pointerdown", (event) => {
        if (event.button || event.target.closest("button")) return;
        pointers.set(event.pointerId, at(event));
        moved = pointers.size > 1 ? 99 : 0;
        this.drawing = event.shiftKey || this.heard.drawing?.() ? [this.toPlace(...at(event))] : null;
        if (this.drawing) frame.setPointerCapture(event.pointerId);
        if (event.pointerType === "mouse" || pointers.size > 1) frame.setPointerCapture(event.pointerId);
      });
      frame.addEventListener("pointermove", (event) => {
        const before = pointers.get(event.pointerId);
        const now = at(event);
        if (!before) {
          if (event.pointerType === "mouse") this.heard.hover?.(this.nearest(...now), event);
          return;
        }
        if (this.drawing) {
          this.drawing.push(this.toPlace(...now));
          this.line = this.drawing;
          this.later();
          return;
        }
        const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
        moved += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
        if (others.length) {
          const away = (place) => Math.hypot(place[0] - others[0][0], place[1] - others[0][1]);
          const middle = [(now[0] + others[0][0]) / 2, (now[1] + others[0][1]) / 2];
          this.zoom(away(now) / Math.max(away(before), 1), ...middle);
        }
        // One finger scrolls the page, two move the map.
        if (moved > 4 && (others.length || event.pointerType !== "touch")) {
          const part = others.length ? 2 : 1;
          const { x, y, z } = this.view;
          this.look({ x: x - (now[0] - before[0]) / this.unit / part, y: y + (now[1] - before[1]) / this.unit / part, z });
          this.heard.hover?.(null, event);
        }
        pointers.set(event.pointerId, now);
      });
      frame.addEventListener("pointerup", (event) => {
        const known = pointers.delete(event.pointerId);
        const line = this.drawing;
        this.drawing = null;
        if (line?.length > 4) {
          this.heard.lasso?.(line);
          return;
        }
        if (line) this.line = null;
        const tapped = known && moved <= 4;
        if (!tapped) return;
        const point = this.nearest(...at(event), event.pointerType === "mouse" ? 14 : 22);
        if (point !== null) this.heard.select?.(point);
      });
      frame.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
      frame.addEventListener("pointerleave", (event) => this.heard.hover?.(null, event));
      frame.addEventListener("dblclick", (event) => { if (!event.target.closest("button")) this.zoom(2, ...at(event)); });
      frame.addEventListener("wheel", (event) => {
        // The wheel scrolls the page until the map has been clicked.
        if (!event.ctrlKey && !event.metaKey && !frame.contains(document.activeElement)) return;
        event.preventDefault();
        this.zoom(Math.exp(-clamp(event.deltaY, -120, 120) * (event.ctrlKey ? 0.01 : 0.0025)), ...at(event));
      }, { passive: false });
      frame.addEventListener("keydown", (event) => {
        const step = 0.12 / this.view.z;
        const { x, y, z } = this.view;
        const go = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
        if (event.target !== frame || event.ctrlKey || event.metaKey || event.altKey) return;
        if (go) this.look({ x: x + go[0], y: y + go[1], z });
        else if (event.key === "+" || event.key === "=") this.zoom(1.5);
        else if (event.key === "-") this.zoom(1 / 1.5);
        else if (event.key === "0") this.look(this.home);
        else if (event.key === "Escape") frame.blur(); // the wheel scrolls the page again
        else if (event.key === "Enter") {
          const point = this.middle();
          if (point !== null) this.heard.select?.(point);
        } else return;
        this.heard.aim?.(this.middle());
        event.preventDefault();
      });
      frame.addEventListener("focus", () => { if (frame.matches(":focus-visible")) this.heard.aim?.(this.middle()); });
      frame.addEventListener("blur", () => this.heard.aim?.(null));
    }
  }

  window.kronvizCanvas = { Plot };
}
