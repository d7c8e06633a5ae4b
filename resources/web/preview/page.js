// Runs in the project's frame before any script of the page, in the page's own world.
//
// It reports errors, the frame rate and, when asked, what the page holds; it gives the page a clock that can be
// paused, and storage that lives in memory. `config` is filled in by the program:
//   token   marks our lines on the console, the one way out of the sandbox;
//   network true: the person lets this project use the network;
//   stepped true: the page's time advances one sixtieth of a second per drawn frame from the load event on and
//           random numbers come from a fixed seed, so two runs of one page can be compared frame by frame.
((config) => {
  const log = console.debug.bind(console);
  const addListener = EventTarget.prototype.addEventListener;
  const stringify = JSON.stringify;
  const report = (type, fields) => log(config.token + stringify({ type, ...fields }));

  addListener.call(document, 'securitypolicyviolation', (event) => {
    report('violation', { address: event.blockedURI, directive: event.effectiveDirective });
  });

  // The sandbox refuses without a word what a link would save (tried), so it is told here. A link outside the document
  // has no listener above it: its clicks are seen where they are made.
  const HTMLAnchor = HTMLAnchorElement;
  const tellSave = (link) => {
    if (!link.hasAttribute('download') || /^https?:/.test(link.href)) return;  // that one is told as a navigation
    report('violation', { address: link.download || 'a file to save', directive: 'download' });
  };
  addListener.call(window, 'click', (event) => {
    const link = event.composedPath().find((one) => one instanceof HTMLAnchor);
    if (link) tellSave(link);
  }, true);
  for (const [prototype, name] of [[HTMLElement.prototype, 'click'], [EventTarget.prototype, 'dispatchEvent']]) {
    const native = prototype[name];
    prototype[name] = function (...values) {
      const clicked = name === 'click' || (values[0] && values[0].type === 'click');
      if (clicked && this instanceof HTMLAnchor && !this.isConnected) tellSave(this);
      return native.apply(this, values);
    };
  }

  // WebRTC heeds neither the page's policy nor the request interceptor: it asks DNS for the names of its servers (tried).
  // So without network there is none, in any frame: neither in those that load something and so run this script, nor in
  // empty ones, which don't, and which the page can reach into at once. Those are caught when they are made (their load
  // event comes before the page goes on) and when the page takes hold of them.
  const PEERS = ['RTCPeerConnection', 'webkitRTCPeerConnection', 'WebTransport'];
  const refuse = function () {
    report('violation', { address: 'webrtc', directive: 'webrtc' });
    throw new DOMException('The network is off for this project.', 'NotAllowedError');
  };
  const contentWindow = Object.getOwnPropertyDescriptor(HTMLIFrameElement.prototype, 'contentWindow').get;
  const disarmFrame = (frame) => {
    try {
      disarm(contentWindow.call(frame));
    } catch { /* no frame, or one of another origin, which has run this script */ }
  };
  const disarm = (view) => {
    if (!Object.getOwnPropertyDescriptor(view.HTMLIFrameElement.prototype, 'contentWindow').configurable) return;
    for (const name of config.network ? [] : PEERS) {
      if (name in view) Object.defineProperty(view, name, { value: refuse, writable: false, configurable: false });
    }
    const watch = (page) => addListener.call(page, 'load', (event) => disarmFrame(event.target), true);
    watch(view.document);
    for (const name of ['contentWindow', 'contentDocument']) {
      const { get } = Object.getOwnPropertyDescriptor(view.HTMLIFrameElement.prototype, name);
      Object.defineProperty(view.HTMLIFrameElement.prototype, name, {
        get() { disarmFrame(this); return get.call(this); }, enumerable: true, configurable: false,
      });
    }
    // The clipboard is the person's. Its newer interface is refused by the frame's policy; this one, after a click, is not.
    const command = view.Document.prototype.execCommand;
    view.Document.prototype.execCommand = function (given, ...rest) {
      const name = String(given);
      if (!/^(copy|cut|paste)$/i.test(name)) return command.call(this, name, ...rest);
      report('violation', { address: 'Clipboard', directive: 'permission' });
      return false;
    };
    for (const name of ['open', 'write', 'writeln']) {  // they take a document's listeners away
      const native = view.Document.prototype[name];
      view.Document.prototype[name] = function (...values) {
        const result = native.apply(this, values);
        watch(this);
        for (const frame of this.querySelectorAll('iframe')) disarmFrame(frame);
        return result;
      };
    }
  };
  disarm(window);
  if (location.protocol !== 'preview:' || !location.host.startsWith('project-')) return;

  const native = {
    raf: window.requestAnimationFrame.bind(window),
    setTimeout: window.setTimeout.bind(window),
    clearTimeout: window.clearTimeout.bind(window),
    setInterval: window.setInterval.bind(window),
    now: performance.now.bind(performance),
    Date: window.Date,
    parent: window.parent,
    reportError: window.reportError.bind(window),
  };

  // --- errors

  const shown = (value) => {
    if (value instanceof Error) return value.name + ': ' + value.message;
    try {
      return typeof value === 'object' ? stringify(value) : String(value);
    } catch {
      return Object.prototype.toString.call(value);
    }
  };
  const place = (stack) => {
    const found = /(preview:\/\/project-\w+\/[^\s)]*?):(\d+):(\d+)/.exec(stack || '');
    return found ? { source: found[1], line: +found[2], column: +found[3] } : {};
  };
  window.addEventListener('error', (event) => {
    if (event instanceof ErrorEvent) {
      const stack = event.error && event.error.stack ? String(event.error.stack) : '';
      const here = event.filename.startsWith(location.origin + '/') || !place(stack).source
        ? { source: event.filename, line: event.lineno, column: event.colno } : place(stack);
      report('error', { message: event.message, stack, ...here });
    }
  }, true);
  window.addEventListener('unhandledrejection', (event) => {
    const stack = event.reason && event.reason.stack ? String(event.reason.stack) : '';
    report('error', { message: 'Unhandled rejection: ' + shown(event.reason), stack, ...place(stack) });
  });
  console.error = (...values) => {
    const error = values.find((value) => value instanceof Error);
    const stack = error ? String(error.stack) : new Error().stack;
    report('error', { message: values.map(shown).join(' '), stack, logged: true, ...place(stack) });
  };

  // Workers. What the policy refuses to a worker is seen only inside it, so a few words before its script tell it here;
  // to put them there, a worker of the project becomes a blob that loads it.
  const MARK = 'previewViolation';
  const PRELUDE = `{const send=typeof postMessage==='function'?postMessage.bind(self):()=>{};` +
    `addEventListener('securitypolicyviolation',(e)=>send({${MARK}:{address:e.blockedURI,directive:e.effectiveDirective}}));}`;
  const blobs = new Map();
  const createObjectURL = URL.createObjectURL.bind(URL);
  const revokeObjectURL = URL.revokeObjectURL.bind(URL);
  URL.createObjectURL = (object) => {
    const address = createObjectURL(object);
    if (object instanceof Blob) blobs.set(address, object);
    return address;
  };
  URL.revokeObjectURL = (address) => { blobs.delete(address); revokeObjectURL(address); };
  const loader = (address, options) => {
    const quoted = stringify(address);
    if (options && options.type === 'module') return `import ${quoted};`;
    return `{const at=(path)=>new URL(path,${quoted}).href;const load=importScripts.bind(self);const get=fetch.bind(self);` +
      `const Inner=self.Worker;if(Inner)self.Worker=class extends Inner{constructor(path,how){super(at(path),how)}};` +
      `self.importScripts=(...paths)=>load(...paths.map(at));` +
      `self.fetch=(what,...rest)=>get(typeof what==='string'?at(what):what,...rest);}importScripts(${quoted});`;
  };
  const workerScript = (given, options) => {
    const address = new URL(given, document.baseURI);
    const blob = blobs.get(address.href);
    if (!blob && address.protocol !== 'data:' && address.host !== location.host) return address.href;
    return createObjectURL(new Blob([PRELUDE, blob || loader(address.href, options)], { type: 'text/javascript' }));
  };
  const NativeWorker = window.Worker;
  window.Worker = class Worker extends NativeWorker {
    constructor(address, options) {
      super(workerScript(address, options), options);
      this.addEventListener('message', (event) => {
        if (!event.data || !event.data[MARK]) return;
        event.stopImmediatePropagation();
        report('violation', event.data[MARK]);
      });
    }
  };

  window.alert = (text) => console.info('alert: ' + text);

  // --- storage in memory: the real one is switched off

  const memoryStorage = () => {
    const items = new Map();
    const methods = {
      getItem: (key) => (items.has(String(key)) ? items.get(String(key)) : null),
      setItem: (key, value) => void items.set(String(key), String(value)),
      removeItem: (key) => void items.delete(String(key)),
      clear: () => items.clear(),
      key: (index) => [...items.keys()][index] ?? null,
    };
    return new Proxy(methods, {
      get: (_, name) => (name === 'length' ? items.size : name in methods ? methods[name] : items.get(name)),
      set: (_, name, value) => (items.set(String(name), String(value)), true),
      has: (_, name) => name in methods || items.has(name),
      deleteProperty: (_, name) => (items.delete(name), true),
      ownKeys: () => [...items.keys()],
      getOwnPropertyDescriptor: (_, name) =>
        items.has(name) ? { value: items.get(name), enumerable: true, configurable: true } : undefined,
    });
  };
  for (const name of ['localStorage', 'sessionStorage']) {
    const storage = memoryStorage();
    Object.defineProperty(window, name, { configurable: true, get: () => storage });
  }
  let cookies = '';
  Object.defineProperty(document, 'cookie', {
    configurable: true,
    get: () => cookies,
    set: (value) => { cookies = String(value).split(';')[0]; },
  });

  // --- the clock: frames, timers, performance.now and Date

  let paused = false;
  let pausedAt = 0;        // ms of native time
  let pausedTotal = 0;     // ms
  let step = 0;            // stepped: frames since the load event
  let stopAt = Infinity;   // stepped: the frame to pause at
  let started = false;     // stepped: the load event has fired
  let capped = 0;          // smallest time between two frames, ms
  let lastFrame = 0;
  let waiting = false;
  let nextId = 1;
  let frames = new Map();
  let running = frames;     // the callbacks of the frame being run
  let drawn = 0;           // frames in which the page did something
  let drawnAt = 0;         // native time of the last of them
  const pace = { frames: 0, ms: 0 };  // of frames that followed one another, so that rests and pauses don't count
  const timers = new Map();
  const STEP_MS = 1000 / 60;

  const pageNow = () => (config.stepped ? step * STEP_MS : (paused ? pausedAt : native.now()) - pausedTotal);

  const runFrames = () => {
    if (!frames.size) return;
    const batch = frames;
    frames = new Map();
    drawn += 1;
    const since = native.now() - drawnAt;
    drawnAt += since;
    if (drawn > 1 && since < 500) { pace.frames += 1; pace.ms += since; }
    const time = pageNow();
    running = batch;
    for (const [, callback] of batch) {
      try { callback(time); } catch (error) { native.reportError(error); }
    }
  };

  const ask = () => {
    if (waiting) return;
    waiting = true;
    native.raf(tick);
  };
  const tick = (time) => {
    waiting = false;
    if (config.stepped) {
      ask();
      if (paused || !started) return;
      step += 1;
      runTimers();
      runFrames();
      if (step >= stopAt) setPaused(true);
      return;
    }
    if (paused) return;
    if (capped && time - lastFrame < capped) {
      native.setTimeout(ask, capped - (time - lastFrame));
      return;
    }
    lastFrame = time;
    runFrames();
  };

  window.requestAnimationFrame = (callback) => {
    if (typeof callback !== 'function') throw new TypeError('requestAnimationFrame needs a function');
    const id = nextId++;
    frames.set(id, callback);
    ask();
    return id;
  };
  window.cancelAnimationFrame = (id) => { frames.delete(id); running.delete(id); };

  const startTimer = (callback, delay, values, repeat) => {
    const id = nextId++;
    const run = typeof callback === 'function' ? callback : new Function(String(callback));
    const wait = Math.max(repeat ? 4 : 0, Number(delay) || 0);
    const timer = { run, values, wait, repeat, due: pageNow() + wait, held: false };
    timers.set(id, timer);
    if (!config.stepped) native.setTimeout(() => fire(id), wait);
    return id;
  };
  const call = (id, timer) => {
    if (timer.repeat) timer.due = pageNow() + timer.wait;
    else timers.delete(id);
    try { timer.run(...timer.values); } catch (error) { native.reportError(error); }
  };
  const fire = (id) => {
    const timer = timers.get(id);
    if (!timer) return;
    if (paused) { timer.held = true; return; }
    call(id, timer);
    if (timer.repeat && timers.has(id)) native.setTimeout(() => fire(id), timer.wait);
  };
  const runTimers = () => {
    const now = pageNow();
    const due = [...timers].filter(([, timer]) => timer.due <= now).sort((a, b) => a[1].due - b[1].due || a[0] - b[0]);
    for (const [id, timer] of due) if (timers.get(id) === timer) call(id, timer);
  };
  window.setTimeout = (callback, delay, ...values) => startTimer(callback, delay, values, false);
  window.setInterval = (callback, delay, ...values) => startTimer(callback, delay, values, true);
  window.clearTimeout = window.clearInterval = (id) => { timers.delete(id); };

  performance.now = pageNow;
  if (config.stepped) {
    const epoch = native.Date.UTC(2026, 0, 1, 12);
    const now = () => epoch + Math.floor(pageNow());
    window.Date = new Proxy(native.Date, {
      construct: (target, values, self) => Reflect.construct(target, values.length ? values : [now()], self),
      apply: () => new native.Date(now()).toString(),
      get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
    });
    let seed = 0x2545f491;
    Math.random = () => {  // mulberry32
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const start = () => { started = true; };
    window.addEventListener('load', () => native.setTimeout(start, 0));
    native.setTimeout(start, 8000);
    ask();
  }

  const setPaused = (value) => {
    if (paused === value) return;
    paused = value;
    document.getAnimations().forEach((animation) => (value ? animation.pause() : animation.play()));
    document.querySelectorAll('audio, video').forEach((media) => {
      if (value && !media.paused) { media.dataset.pausedByPreview = ''; media.pause(); }
      else if (!value && 'pausedByPreview' in media.dataset) { delete media.dataset.pausedByPreview; media.play(); }
    });
    if (value) pausedAt = native.now();
    else {
      pausedTotal += native.now() - pausedAt;
      for (const [id, timer] of timers) if (timer.held) { timer.held = false; native.setTimeout(() => fire(id), 0); }
      if (frames.size) ask();
    }
    report('paused', { paused, frame: step });
  };

  // a canvas that is resized goes blank; the page's next frame draws it again, at the time it was paused
  addListener.call(window, 'resize', () => {
    if (paused && !config.stepped) native.raf(() => { if (paused) runFrames(); });
  });

  let lastDrawn = 0;
  let lastCount = native.now();
  native.setInterval(() => {
    const now = native.now();
    const fps = ((drawn - lastDrawn) * 1000) / (now - lastCount);
    lastDrawn = drawn;
    lastCount = now;
    if (!paused) report('fps', { fps: Math.round(fps * 10) / 10 });
  }, 1000);

  // --- what the page listens to

  const listened = new Set();
  const INPUTS = /^(key(down|up|press)|mouse(down|up|move|over|enter|leave)|click|dblclick|wheel|pointer(down|up|move|over|enter|leave)|touch(start|move|end)|input|change)$/;
    EventTarget.prototype.addEventListener = function (type, ...rest) {
    if (INPUTS.test(type)) listened.add(String(type));
    return addListener.call(this, type, ...rest);
  };
  const inlineHandlers = () => {
    const targets = [window, document, ...document.querySelectorAll('*')];
    for (const type of ['keydown', 'keyup', 'keypress', 'mousedown', 'mouseup', 'mousemove', 'click', 'wheel',
      'pointerdown', 'pointermove', 'input', 'change']) {
      if (targets.some((target) => typeof target['on' + type] === 'function')) listened.add(type);
    }
  };

  // --- WebGL, and the scenes three.js announces

  const getContext = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
    const context = getContext.call(this, kind, ...rest);
    if (context === null && /^(webgl|experimental-webgl)/.test(kind)) report('no_webgl', {});
    return context;
  };

  const renderers = new Set();
  let rendered = new Map();  // scene -> camera, of the last frame with any
  let renderedAt = -1;
  const hook = new EventTarget();
  addListener.call(hook, 'observe', (event) => {
    const renderer = event.detail;
    if (!renderer.isWebGLRenderer && !renderer.isWebGPURenderer) return;
    renderers.add(renderer);
    const render = renderer.render;
    renderer.render = function (scene, camera, ...rest) {
      if (scene && scene.isScene) {
        if (renderedAt !== drawn) { rendered = new Map(); renderedAt = drawn; }
        rendered.set(scene, camera);
      }
      return render.call(this, scene, camera, ...rest);
    };
  });
  window.__THREE_DEVTOOLS__ = hook;

  const round = (value) => Math.round(value * 1000) / 1000;
  const colour = (value) => (value && value.isColor ? '#' + value.getHexString() : value ? 'texture' : null);
  const triangleCount = (geometry) => {
    const all = geometry.index ? geometry.index.count : geometry.attributes.position ? geometry.attributes.position.count : 0;
    return Math.floor(Math.min(all, geometry.drawRange ? geometry.drawRange.count : all) / 3);
  };
  const describeScene = () => {
    if (!renderers.size) return null;
    const scene = {
      meshes: 0, instances: 0, triangles: 0, points: 0, lines: 0, sprites: 0, lights: 0, light_kinds: {}, cameras: [],
      fog: null, background: null, shadows: [...renderers].some((one) => one.shadowMap && one.shadowMap.enabled),
      materials: 0, geometries: {}, objects: 0, scenes: rendered.size,
    };
    const materials = new Set();
    for (const [root, camera] of rendered) {
      root.traverseVisible((object) => {
        scene.objects += 1;
        const geometry = object.geometry;
        const count = geometry && geometry.attributes && geometry.attributes.position ? geometry.attributes.position.count : 0;
        if (object.isMesh && geometry) {
          const copies = object.isInstancedMesh ? object.count : 1;
          scene.meshes += 1;
          if (object.isInstancedMesh) scene.instances += copies;
          scene.triangles += triangleCount(geometry) * copies;
          scene.geometries[geometry.type] = (scene.geometries[geometry.type] || 0) + copies;
        } else if (object.isPoints) scene.points += count;
        else if (object.isLine) scene.lines += 1;
        else if (object.isSprite) scene.sprites += 1;
        else if (object.isLight) {
          scene.lights += 1;
          scene.light_kinds[object.type] = (scene.light_kinds[object.type] || 0) + 1;
        }
        for (const material of [object.material].flat()) if (material) materials.add(material);
      });
      scene.fog = root.fog ? { kind: root.fog.isFogExp2 ? 'FogExp2' : 'Fog', color: colour(root.fog.color) } : scene.fog;
      scene.background = colour(root.background) || scene.background;
      if (camera) scene.cameras.push({ kind: camera.type, position: camera.position.toArray().map(round) });
    }
    scene.materials = materials.size;
    return scene;
  };
  const describeCharts = () => {
    const charts = window.Chart && window.Chart.instances ? Object.values(window.Chart.instances) : [];
    return charts.map((chart) => ({
      type: chart.config.type,
      datasets: chart.data.datasets.length,
      points: chart.data.datasets.reduce((sum, set) => sum + (set.data ? set.data.length : 0), 0),
    }));
  };
  const describeTargets = () => {
    const found = document.querySelectorAll('button, input, select, summary, [onclick], [role=button]');
    const boxes = [...found].map((element) => element.getBoundingClientRect());
    const visible = boxes.filter((box) => box.width > 4 && box.height > 4 && box.x >= 0 && box.y >= 0 &&
      box.right <= innerWidth && box.bottom <= innerHeight);
    return visible.slice(0, 3).map((box) => [Math.round(box.x + box.width * 0.7), Math.round(box.y + box.height / 2)]);
  };
  const describe = () => {
    inlineHandlers();
    return {
      title: document.title,
      text_length: document.body ? document.body.innerText.trim().length : 0,
      canvases: document.querySelectorAll('canvas').length,
      svg_shapes: document.querySelectorAll('svg :is(path, rect, circle, line, polygon, polyline, ellipse, text)').length,
      charts: describeCharts(),
      listens_to: [...listened].sort(),
      scene: describeScene(),
      targets: describeTargets(),
      frames: drawn,
      fps: pace.frames > 5 ? Math.round((pace.frames * 10000) / pace.ms) / 10 : null,
      step,
    };
  };

  // --- orders from the program, by way of the shell

  const orders = {
    pause: () => setPaused(true),
    resume: () => { stopAt = Infinity; setPaused(false); },
    run_to: ({ frame }) => {
      stopAt = frame;
      if (step >= frame) { setPaused(false); setPaused(true); } else setPaused(false);
    },
    cap: ({ interval_ms }) => { capped = interval_ms; },
    calm: () => {  // take away what the browser itself shows after a click
      getSelection()?.removeAllRanges();
      document.activeElement?.blur();
    },
    describe: ({ id }) => {
      let answer;
      try { answer = describe(); } catch (error) { answer = { failed: shown(error) }; }
      report('described', { id, answer });
    },
  };
  addListener.call(window, 'message', (event) => {
    if (event.source !== native.parent || !event.data || event.data.token !== config.token) return;
    event.stopImmediatePropagation();
    const order = orders[event.data.order];
    if (order) order(event.data);
  }, true);
  addListener.call(window, 'load', () => report('loaded', {}));
  report('created', { is_page: window.parent === window.top });
})(__CONFIG__);
