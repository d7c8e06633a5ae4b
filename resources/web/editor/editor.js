// The editor's page: Monaco, told what to show by the window and telling it every change. Holds no truth of its own:
// the window keeps the text of every open file (app/core/documents.py), so this page may die at any time.
'use strict';

const models = new Map();      // path -> {model, viewState}
let bridge = null;
let editor = null;
let diffEditor = null;
let current = null;
let silent = false;            // true while the window's own text is put in, which is not an edit
let pending = new Map();       // path -> changes not sent yet
const marks = new Map();       // path -> Map(decoration -> token number): Monaco moves decorations as the text is edited
const tint = new CSSStyleSheet();
let flushTimer = 0;

function languageOf(path) {
  const extension = path.slice(path.lastIndexOf('.') + 1).toLowerCase();
  const known = { html: 'html', htm: 'html', js: 'javascript', mjs: 'javascript', ts: 'typescript', css: 'css',
    json: 'json', md: 'markdown', py: 'python', glsl: 'cpp', svg: 'xml', xml: 'xml', txt: 'plaintext' };
  return known[extension] || 'plaintext';
}

function flush() {
  clearTimeout(flushTimer);
  flushTimer = 0;
  for (const [path, batches] of pending) bridge.edited(path, JSON.stringify(batches));
  pending.clear();
}

function queueChange(path, event) {
  if (silent) return;
  const batch = event.changes.map((change) => [change.rangeOffset, change.rangeLength, change.text]);
  if (!pending.has(path)) pending.set(path, []);
  pending.get(path).push(batch);
  if (!flushTimer) flushTimer = setTimeout(flush, 30);
}

function markOptions(group) {
  const stickiness = monaco.editor.TrackedRangeStickiness.NeverGrowsWhenTypingAtEdges;
  return group === undefined || group === null ? { stickiness } : { stickiness, inlineClassName: `token-${group}` };
}

function replaceMarks(path, model, decorations, tokens) {
  const ids = model.deltaDecorations([...(marks.get(path) || new Map()).keys()], decorations);
  marks.set(path, new Map(ids.map((id, place) => [id, tokens[place]])));
}

function tokensIn(path, model, selection) {
  const known = marks.get(path);
  if (!known) return [];
  const from = model.getOffsetAt(selection.getStartPosition()), to = model.getOffsetAt(selection.getEndPosition());
  return model.getDecorationsInRange(selection).filter((found) => {
    if (!known.has(found.id)) return false;
    const start = model.getOffsetAt(found.range.getStartPosition()), end = model.getOffsetAt(found.range.getEndPosition());
    return from === to ? start <= from && from < end : start < to && end > from;
  }).map((found) => known.get(found.id));
}

const api = {
  setTokens(path, spans) {     // [[start, end, token], ...] in the model's offsets; their tint comes by colorTokens
    const entry = models.get(path);
    if (!entry) return;
    const model = entry.model;
    const decorations = spans.map(([start, end]) => {
      const from = model.getPositionAt(start), to = model.getPositionAt(end);
      return { range: new monaco.Range(from.lineNumber, from.column, to.lineNumber, to.column), options: markOptions() };
    });
    replaceMarks(path, model, decorations, spans.map((span) => span[2]));
  },
  colorTokens(path, groups, colors) {   // groups: token -> place in colors (CSS); no colors take the tint away
    const entry = models.get(path);
    if (!entry || !marks.has(path)) return;
    const decorations = [], tokens = [];
    for (const [id, token] of marks.get(path)) {
      const range = entry.model.getDecorationRange(id);
      if (!range || range.isEmpty()) continue;
      decorations.push({ range, options: markOptions(colors.length ? groups[token] : null) });
      tokens.push(token);
    }
    replaceMarks(path, entry.model, decorations, tokens);
    tint.replaceSync(colors.map((color, group) => `.token-${group} { background: ${color}; }`).join('\n'));
  },
  selectTokens(path, first, last) {
    const entry = models.get(path);
    if (!entry || path !== current) return;
    const ranges = [...(marks.get(path) || [])].filter(([, token]) => first <= token && token <= last)
      .map(([id]) => entry.model.getDecorationRange(id)).filter((range) => range && !range.isEmpty());
    if (!ranges.length) return;
    const whole = ranges.reduce((sum, range) => sum.plusRange(range));
    editor.setSelection(whole);
    editor.revealRangeInCenterIfOutsideViewport(whole);
  },
  open(path, text) {
    if (!models.has(path)) {
      const model = monaco.editor.createModel(text, languageOf(path), monaco.Uri.from({ scheme: 'project', path: '/' + path }));
      model.setEOL(monaco.editor.EndOfLineSequence.LF);
      model.onDidChangeContent((event) => queueChange(path, event));
      models.set(path, { model, viewState: null });
    } else {
      api.setText(path, text);
    }
  },
  show(path) {
    const entry = models.get(path);
    if (!entry) return;
    if (current && models.has(current)) models.get(current).viewState = editor.saveViewState();
    current = path;
    api.closeDiff();
    editor.setModel(entry.model);
    if (entry.viewState) editor.restoreViewState(entry.viewState);
  },
  close(path) {
    const entry = models.get(path);
    if (!entry) return;
    models.delete(path);
    pending.delete(path);
    marks.delete(path);
    entry.model.dispose();
    if (current === path) current = null;
  },
  setText(path, text) {
    const entry = models.get(path);
    if (!entry || entry.model.getValue() === text) return;
    silent = true;             // one edit operation, so that Undo gives back what was there
    entry.model.pushEditOperations([], [{ range: entry.model.getFullModelRange(), text }], () => null);
    entry.model.pushStackElement();
    silent = false;
  },
  reveal(line, column) {
    editor.revealLineInCenter(line);
    editor.setPosition({ lineNumber: line, column: column || 1 });
    editor.focus();
  },
  select(start, end) {
    const model = editor.getModel();
    if (!model) return;
    const from = model.getPositionAt(start), to = model.getPositionAt(end);
    editor.setSelection(new monaco.Selection(from.lineNumber, from.column, to.lineNumber, to.column));
    editor.revealRangeInCenterIfOutsideViewport(editor.getSelection());
  },
  run(action) {
    editor.focus();
    editor.trigger('window', action, null);
  },
  showDiff(path, before, after) {
    if (!diffEditor) {
      diffEditor = monaco.editor.createDiffEditor(document.getElementById('diff'),
        { ...options, readOnly: true, originalEditable: false, renderSideBySide: true, renderOverviewRuler: false, useInlineViewWhenSpaceIsLimited: true });
    }
    const old = diffEditor.getModel();
    diffEditor.setModel({
      original: monaco.editor.createModel(before, languageOf(path)),
      modified: monaco.editor.createModel(after, languageOf(path)),
    });
    if (old) { old.original.dispose(); old.modified.dispose(); }
    document.body.classList.add('reading-diff');
  },
  closeDiff() { document.body.classList.remove('reading-diff'); },
  setTheme(theme) {
    monaco.editor.defineTheme('expertarium', theme);
    monaco.editor.setTheme('expertarium');
    document.body.style.setProperty('--background', theme.colors['editor.background']);
  },
  setFont(family, size) { editor.updateOptions({ fontFamily: family, fontSize: size }); },
  flush,
};

const options = {
  automaticLayout: true, minimap: { enabled: false }, fontSize: 12, lineHeight: 18, tabSize: 2, scrollBeyondLastLine: false,
  smoothScrolling: false, renderLineHighlight: 'line', overviewRulerBorder: false, fixedOverflowWidgets: true,
  padding: { top: 8, bottom: 8 }, lineNumbersMinChars: 4, 'bracketPairColorization.enabled': false,
  accessibilitySupport: 'auto', scrollbar: { verticalScrollbarSize: 10, horizontalScrollbarSize: 10 },
};

function start(channel) {
  bridge = channel.objects.bridge;
  editor = monaco.editor.create(document.getElementById('editor'), { ...options, model: null });
  editor.addCommand(monaco.KeyMod.CtrlCmd | monaco.KeyCode.KeyS, () => { flush(); bridge.save(); });
  editor.onDidChangeCursorSelection((event) => {
    const model = editor.getModel();
    if (!model || !current) return;
    const from = model.getOffsetAt(event.selection.getStartPosition());
    const to = model.getOffsetAt(event.selection.getEndPosition());
    bridge.selected(current, from, to, event.selection.positionLineNumber, event.selection.positionColumn);
    if (event.reason !== monaco.editor.CursorChangeReason.Explicit || event.source === 'api') return;
    const tokens = tokensIn(current, model, event.selection);
    if (tokens.length) bridge.picked(current, Math.min(...tokens), Math.max(...tokens));
  });
  editor.addAction({
    id: 'experts', label: 'Experts That Wrote This', contextMenuGroupId: 'navigation', contextMenuOrder: 0,
    keybindings: [monaco.KeyMod.Alt | monaco.KeyCode.KeyX],
    run: () => {
      const model = editor.getModel(), selection = editor.getSelection();
      if (model && current) {
        bridge.asked(current, model.getOffsetAt(selection.getStartPosition()), model.getOffsetAt(selection.getEndPosition()));
      }
    },
  });
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, tint];
  window.api = api;
  bridge.ready();
}

require.config({ paths: { vs: location.origin === 'null' ? '/vs' : location.origin + '/vs' } });
require(['vs/editor/editor.main'], () => new QWebChannel(qt.webChannelTransport, start));
